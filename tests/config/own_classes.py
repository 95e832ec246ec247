"""Classes as a user of the package would write them, named by `_target_` in tests."""

from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch import Callback

from lora_lightning.data.sets.jsonl import JsonlDataModule

if TYPE_CHECKING:
    from nowhere import Nothing


class OwnMethod:
    def __init__(self, width: int, kind: Literal["a", "b"] = "a", rate: float = 1.0) -> None:
        self.width, self.kind, self.rate = width, kind, rate

    def apply(self, model: Any) -> None: ...

    def parameter_table(self, model: Any) -> list[Any]:
        return []


class OwnCallback(Callback):
    def __init__(self, every: int, label: "Nothing" = None, untyped=None) -> None:
        self.every = every


class OwnData(JsonlDataModule):
    def __init__(self, *, language: str = "en", **shared: Any) -> None:
        super().__init__(**shared)
        self.language = language


def own_optimizer(
    named_parameters: Any, lr: float, betas: tuple[float, float] = (0.9, 0.99)
) -> Any:
    return named_parameters, lr, betas
