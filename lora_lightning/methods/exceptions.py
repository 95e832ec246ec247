"""Ranks and alphas of single projections, where they differ from a method's own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from lora_lightning.errors import InputError
from lora_lightning.methods.targets import matches_suffix
from lora_lightning.ranges import Count, Positive, Texts, check

Exceptions = Sequence[Mapping[str, int | float | str | Sequence[str]]]
"""Each `{targets: names, rank: …, alpha: …}`; a rank or alpha that is left out is the method's."""

KEYS = {"targets": Texts, "rank": Count, "alpha": Positive}


class RankAndAlpha(NamedTuple):
    """What scales an update of a projection, or of each of its slices."""

    rank: int
    alpha: float


def check_exceptions(exceptions: Exceptions) -> None:
    """Check what each exception holds.

    Raises:
        InputError: a key is unknown or missing, or its value out of its range.
    """
    for number, exception in enumerate(exceptions):
        key = f"method.exceptions[{number}]"
        if "targets" not in exception or not exception.keys() <= KEYS.keys():
            raise InputError(
                f"{key}={dict(exception)}: allowed is {{targets:[<names>],rank:<rank>,"
                "alpha:<alpha>}, of rank and alpha only what differs"
            )
        for name, value in exception.items():
            check(f"{key}.{name}", value, KEYS[name])


def settings_of(
    names: Iterable[str], default: RankAndAlpha, exceptions: Exceptions
) -> dict[str, RankAndAlpha]:
    """Return rank and alpha of each adapted projection; the first exception that fits counts.

    Args:
        names: of the projections.
        default: of those that no exception names.
        exceptions: whose targets are names, or last parts of names.

    Raises:
        InputError: a target of an exception fits none.
    """
    settings = dict.fromkeys(names, default)
    for exception in reversed(exceptions):
        own = RankAndAlpha(
            exception.get("rank", default.rank),  # type: ignore[arg-type]
            exception.get("alpha", default.alpha),  # type: ignore[arg-type]
        )
        targets: Sequence[str] = exception["targets"]  # type: ignore[assignment]
        for target in targets:
            fitting = [name for name in settings if matches_suffix(name, target)]
            if not fitting:
                raise InputError(
                    f"method.exceptions: {target!r} fits no projection that method.targets adapt; "
                    f"those are {', '.join(settings)}"
                )
            settings |= dict.fromkeys(fitting, own)
    return settings
