"""Data modules of the user's own data: a file a split, whose parts may have any name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.errors import InputError
from lora_lightning.ranges import Text, ranged


@ranged("data")
class OwnFilesDataModule(DataToTextModule):
    """Own data, one file a split.

    Args:
        train: file of the training rows; each file is needed only by what reads it.
        valid: file of the validation rows.
        test: file of the rows to decode and score.
        **shared: as `DataToTextModule`.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        *,
        train: Text | Path | None = None,
        valid: Text | Path | None = None,
        test: Text | Path | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.paths = {"train": train, "valid": valid, "test": test}

    def has(self, split: str) -> bool:
        """Whether the split's key names a file."""
        return self.paths[split] is not None

    def path(self, split: str) -> Path:
        """Return the path of a split's file.

        Raises:
            InputError: the split's key is null.
        """
        path = self.paths[split]
        if path is None:
            raise InputError(f"data.{split} is null; set it to {self.kind}")
        return Path(path).expanduser()


def names_in(given: Mapping[str, str], known: Mapping[str, str], key: str) -> dict[str, str]:
    """Return what each part of a row is called in a file.

    Args:
        given: part → name, as the user says; a part left out is called as in `known`.
        known: every part with its usual name.
        key: of the config, for the message.

    Raises:
        InputError: a part that no row has, or context and completion are called the same.
    """
    names = {**known, **given}
    unknown = [part for part in names if part not in known]
    if unknown:
        raise InputError(f"{key}.{unknown[0]}: a row has no such part; it has {', '.join(known)}")
    if names["context"] == names["completion"]:
        raise InputError(f"{key}: {names['context']!r} is named for context and completion alike")
    return names
