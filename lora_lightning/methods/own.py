"""The method `own`: the place of a class of the user's, without keys of any other method."""

from dataclasses import dataclass

from torch import nn

from lora_lightning.errors import InputError
from lora_lightning.methods.method import ParameterRow


@dataclass(frozen=True)
class Own:
    """What stands there until `method._target_` names a class."""

    def apply(self, model: nn.Module) -> None:
        """Ask for the class.

        Raises:
            InputError: always.
        """
        raise InputError(
            "method=own: name your class, as in method._target_=my_lab.MyMethod, its arguments as "
            "+method.<name>=<value>"
        )

    def parameter_table(self, model: nn.Module) -> list[ParameterRow]:
        """Return no rows."""
        return []
