"""GPT-2 and Lightning without what they import and we never use: a third of a command's start.

What is left out meanwhile can be imported afterwards. A later version of a library that asks for
more of the compiler gets all of it: then only the time is lost, which a test notices.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, wraps
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    import torch

COMPILER = "torch._dynamo"
GPT2 = "transformers.models.gpt2.modeling_gpt2"
# What we import from transformers' package itself, and where it has it from.
OURS = {
    "AttentionInterface": "transformers.modeling_utils",
    "GPT2Config": "transformers.models.gpt2.configuration_gpt2",
    "GPT2LMHeadModel": GPT2,
    "PreTrainedModel": "transformers.modeling_utils",
}


@cache
def import_gpt2() -> None:
    """Import torch and transformers' GPT-2.

    Left out: torch's compiler, for optimizers, too; tensors spread over devices, which transformers
    leaves out itself where torch was built without them; accelerate and scipy, for devices and
    losses that are not ours; the names of all its models, gathered from a thousand files, for its
    package and again for its processors. Nothing is left out for whoever has imported transformers
    before: it remembers what it has found.
    """
    if "transformers" in sys.modules:
        importlib.import_module(GPT2)
        return
    import torch

    for optimizer in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD):
        _step_uncompiled(optimizer)
    _begin_later("transformers", __version__=importlib.metadata.version("transformers"))
    _begin_later("transformers.models")
    with (
        without_compiler(),
        not_installed("accelerate", "scipy"),
        patch.object(torch.distributed, "is_available", return_value=False),
        patch("transformers.utils.direct_transformers_import", _transformers, create=True),
    ):
        importlib.import_module(GPT2)
    found = {name: getattr(importlib.import_module(home), name) for name, home in OURS.items()}
    vars(_transformers()).update(found)


def _transformers(*_: object) -> ModuleType:
    """Return transformers as it is imported, for a second copy of it."""
    return sys.modules["transformers"]


@cache
def import_lightning() -> None:
    """Import GPT-2 and Lightning.

    Left out: torch's compiler; what torchmetrics asks for to draw metrics, and to score sounds and
    texts.
    """
    with not_installed("scipy", "matplotlib", "transformers"):
        import torchmetrics  # noqa: F401
    import_gpt2()
    with without_compiler():
        import lightning.pytorch  # noqa: F401


class _BegunLater(ModuleType):
    """A package whose `__init__` runs when it is asked for what is no module in it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules[self.__name__] is self and self.__spec__ and self.__spec__.loader:
            if find_spec(f"{self.__name__}.{name}"):
                return importlib.import_module(f"{self.__name__}.{name}")
            self.__spec__.loader.exec_module(self)
            if sys.modules[self.__name__] is self:
                self.__class__ = ModuleType  # type: ignore[assignment]
        # transformers' puts another module in this one's place.
        return getattr(sys.modules[self.__name__], name)


def _begin_later(name: str, **values: str) -> None:
    """Make a package importable, with all modules in it, before its `__init__` has run."""
    if name not in sys.modules and (spec := find_spec(name)):
        package = _BegunLater(name)
        package.__spec__, package.__path__ = spec, spec.submodule_search_locations or []
        package.__package__, package.__file__ = name, spec.origin
        vars(package).update(values)
        sys.modules[name] = package


def _step_uncompiled(optimizer: type["torch.optim.Optimizer"]) -> None:
    """Let an optimizer's step be torch's own, without telling the compiler of it at each step."""
    import torch

    step = getattr(vars(optimizer).get("step"), "__wrapped__", None)
    if step is None or COMPILER in sys.modules:
        return

    @wraps(step)
    def uncompiled(self: torch.optim.Optimizer, *arguments: Any, **settings: Any) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return step(self, *arguments, **settings)

    optimizer.step = uncompiled  # type: ignore[method-assign]


@contextmanager
def not_installed(*names: str) -> Iterator[None]:
    """Context in which those of the packages that nobody has imported yet seem not to be there."""
    from lightning_utilities.core import imports

    absent = [name for name in names if name not in sys.modules]

    def version_of_others(name: str) -> str:
        if name in absent:
            raise PackageNotFoundError(name)
        return importlib.metadata.version(name)

    hidden: dict[str, Any] = dict.fromkeys(absent)
    sys.modules |= hidden  # None is how Python says that a module is not there
    try:
        # torchmetrics asks by this name, whatever can be imported.
        with patch.object(imports, "_version", version_of_others, create=True):
            yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextmanager
def without_compiler() -> Iterator[None]:
    """Context in which the compiler's decorators change nothing, as where nothing is compiled.

    Optimizers import it when they are first used, to be left out of what it compiles, and keep its
    answer: it is asked here.
    """
    import torch

    if COMPILER in sys.modules:
        yield
        return
    sys.modules[COMPILER] = _NoCompiler(COMPILER)
    try:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(0))])
        optimizer.zero_grad()
        optimizer.load_state_dict(optimizer.state_dict())
        yield
    finally:
        if isinstance(sys.modules[COMPILER], _NoCompiler):
            del sys.modules[COMPILER]


class _NoCompiler(ModuleType):
    """Stands for torch._dynamo with what decorates; whoever asks for more gets the real one."""

    class OptimizedModule:
        """What no module is before the compiler has been imported."""

    def __init__(self, name: str) -> None:
        import torch

        super().__init__(name)
        self.__path__ = [str(Path(torch.__file__).parent / "_dynamo")]
        self.disable = self.allow_in_graph = self.assume_constant_result = unchanged

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(COMPILER) is self:
            del sys.modules[COMPILER]
        return getattr(importlib.import_module(COMPILER), name)


def unchanged(function: Any = None, *_: object, **__: object) -> Any:
    """Decorator, with arguments or without, that leaves a function as it is."""
    return unchanged if function is None else function
