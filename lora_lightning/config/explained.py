"""What Hydra and OmegaConf find wrong, as one line of our own."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException, InstantiationException, MissingConfigException
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from lora_lightning.errors import InputError, first_line

ConfigError = (HydraException, OmegaConfBaseException)


@contextmanager
def explained() -> Iterator[None]:
    """Context in which an error of Hydra or OmegaConf becomes an `InputError`."""
    try:
        yield
    except ConfigError as error:
        raise InputError(explanation(error)) from error


def explanation(error: Exception) -> str:
    """Return what is wrong, in one line.

    Args:
        error: of Hydra or OmegaConf.
    """
    cause = error.__cause__
    if isinstance(error, InstantiationException):
        return of_building(error)
    if isinstance(error, OmegaConfBaseException):
        return _of_omegaconf(error)
    if isinstance(cause, OmegaConfBaseException):
        return f"{first_line(error)}: {_of_omegaconf(cause)}"
    reason = first_line(error).rstrip(".:")
    if isinstance(error, MissingConfigException) and error.options:
        return f"{reason}; there are {', '.join(error.options)}"
    if reason.startswith("Ambiguous value"):
        return f"{reason}: several runs need -m, a list is [a,b], a text with a comma '\"a,b\"'"
    return f"{reason} ({first_line(cause)})" if cause is not None else reason


def of_building(error: InstantiationException) -> str:
    """Return what kept an object of a config from being built: the first cause, where it is known.

    Args:
        error: as Hydra raises it, around what the object's constructor raised.
    """
    cause: BaseException = error
    while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, InputError):
        return str(cause)
    if cause is error:
        return first_line(error)
    key = re.search(r"full_key: (\S+)", str(error))
    what = key[1] if key else first_line(error).rstrip(":")
    return f"{what}: cannot be built so ({type(cause).__name__}: {first_line(cause)})"


def _of_omegaconf(error: OmegaConfBaseException) -> str:
    key = error.full_key or "a key"
    reason = first_line(error)
    if isinstance(error, InterpolationKeyError):
        return f"{key}: it takes its value from a key that is not there ({reason})"
    if isinstance(error, InterpolationResolutionError):
        return f"{key}: its value cannot be worked out ({reason})"
    if isinstance(error, MissingMandatoryValue):
        return f"{key}: it has no value; give it one"
    return f"{key}: {reason}"
