"""Data modules of the public data sets: raw files of known names in one folder."""

from pathlib import Path
from typing import Any, ClassVar

from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.data.sources import RawFile, find_or_download
from lora_lightning.ranges import Text, ranged


@ranged("data")
class RawFolderDataModule(DataToTextModule):
    """A public data set whose raw files have fixed names in one folder.

    Args:
        dir: the folder with the raw files, plain or `.gz`.
        source: URL of the folder from which a missing file is downloaded into `dir`, once; None
            never downloads.
        **shared: as `DataToTextModule`.
    """

    files: ClassVar[dict[str, RawFile]]

    def __init__(self, *, dir: Text | Path, source: Text | None = None, **shared: Any) -> None:
        super().__init__(**shared)
        self.dir = Path(dir).expanduser()
        self.source = source

    def path(self, split: str) -> Path:
        """Return the path of a split's file, downloaded where it is missing and may be.

        Raises:
            InputError: it is not there and cannot be downloaded.
        """
        return find_or_download(self.files[split], self.dir, self.source)
