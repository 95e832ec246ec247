"""JSON files that hold one object."""

import json
from pathlib import Path
from typing import Any

from lora_lightning.errors import InputError
from lora_lightning.files import read_text


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        InputError: the file cannot be read or holds no JSON object.
    """
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: no JSON ({error.msg})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no JSON object")
    return content
