"""Where Hydra reads configs: files, in which a byte order mark says nothing."""

from pathlib import Path

from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult

from lora_lightning.files import read_text


class FileConfigSource(file_config_source.FileConfigSource):
    """Hydra's source of files, which overlooks the `# @package` behind such a mark.

    It lists a group's options in folders too, such as `e2e/gpt2_medium` of `experiment`: completion
    on Tab offers what is listed.

    It has the name of Hydra's, whose registry then leaves it in its place.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        """Return a config with what its first lines say of it.

        Raises:
            InputError: the file is not UTF-8.
        """
        path = Path(self.path, self._normalize_file_name(config_path))
        text = read_text(path) if path.is_file() else ""  # Hydra says what is missing
        result = super().load_config(config_path)
        result.header = self._get_header_dict(text)
        return result

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the options of a group, those in its folders behind them."""
        found: list[str] = super().list(config_path, results_filter)
        if results_filter != ObjectType.CONFIG or not config_path:
            return found
        for folder in super().list(config_path, ObjectType.GROUP):
            found += [
                f"{folder}/{name}" for name in self.list(f"{config_path}/{folder}", results_filter)
            ]
        return found


def register_source() -> None:
    """Let Hydra read its files through the source above; calling it twice is harmless."""
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
