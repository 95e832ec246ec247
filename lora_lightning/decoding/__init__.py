"""Decoding; `beam_search` is for programs that have a model of their own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lora_lightning.decoding.search import beam_search

__all__ = ["beam_search"]


def __getattr__(name: str) -> Any:
    # Here, as the settings and the files of predictions need no torch.
    if name == "beam_search":
        from lora_lightning.decoding.search import beam_search

        return beam_search
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
