"""The values of one swept key: each of a list, the ends of an interval, or as Optuna draws them."""

from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, Transformer

from lora_lightning.errors import InputError, first_line

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


NEEDS_LISTS = "needs lists of values, as choice(1,2) or range(1,4)"


def listed(override: Override) -> list[Any]:
    """Return the values of a key that has a list of them, as Optuna keeps them.

    Numbers and truths are themselves, everything else is a text that Hydra reads again.
    """
    return list(override.sweep_iterator(transformer=Transformer.encode))


def texts_of(override: Override) -> list[str]:
    """Return an override for each value that a swept key may get, of an interval both ends."""
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        return [f"{key}={value.start}", f"{key}={value.end}"]
    return [f"{key}={text}" for text in override.sweep_string_iterator()]


def distribution_of(override: Override) -> "BaseDistribution":
    """Return what Optuna draws a key's values from.

    Raises:
        InputError: there is nothing to draw from.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if isinstance(value, IntervalSweep):
        is_whole = isinstance(value.start, int) and isinstance(value.end, int)
        kind: Any = IntDistribution if is_whole else FloatDistribution
        try:
            return kind(value.start, value.end, log="log" in value.tags)
        except ValueError as error:
            raise InputError(
                f"{override.input_line}: no values to draw from ({first_line(error)}); give "
                "interval(<low>,<high>), under tag(log,…) both above 0"
            ) from None
    values = listed(override)
    is_stepped = override.is_range_sweep() and len(values) > 1
    if is_stepped and all(isinstance(item, int) for item in values):
        return IntDistribution(min(values), max(values), step=abs(values[1] - values[0]))
    return CategoricalDistribution(values)
