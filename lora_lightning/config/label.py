"""A user's label, `name=`: part of the names of folders, studies and W&B runs."""

import unicodedata

from lora_lightning.errors import InputError
from lora_lightning.files import may_be_in_name

OF_RESULTS = ("predictions.jsonl", "manifest.json", "shards", "metrics.json", "sentences.jsonl",
              "wandb")  # fmt: skip


def label_of_folder(name: object) -> str:
    """Return a label as a folder has it: as given, composed characters in their one form.

    Args:
        name: value of `name=`; None and the empty text are no label.

    Raises:
        InputError: a folder cannot have it; to change it could make two labels one.
    """
    text = unicodedata.normalize("NFC", "" if name is None else str(name))
    if wrong := [character for character in text if not may_be_in_name(character)]:
        raise InputError(
            f"name={text}: {wrong[0]!r} cannot be in a label, which names folders; take letters "
            "and digits of any script, and . _ -"
        )
    if text.startswith(".") or text in OF_RESULTS:
        raise InputError(f"name={text}: is no label, as other files may have that name; add a word")
    return text
