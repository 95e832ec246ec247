"""All that `method=` can be, from the folder of its options, so that none can be forgotten."""

from pathlib import Path
from zlib import crc32

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from lora_lightning.config.search_path import CONFIGS
from lora_lightning.methods.formats.peft_tuner import LINEAR_ONLY
from tests.methods import own_methods
from tests.trust.planted import user_module

OPTIONS = sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml"))
LINEAR = [f"linear {kind}" for kind in LINEAR_ONLY]
"""PEFT's tuners that `method.linear=true` makes fit, which have no option of their own."""
SMALL = {
    "adapter_h": ("method.bottleneck=4",),
    "vblora": ("method.config.vector_length=16",),
    "unilora": ("optimizer.lr=3",),
    "vera": ("optimizer.lr=0.5",),
    "linear C3A": ("optimizer.lr=3",),
    "linear SHIRA": ("optimizer.lr=3",),
}
"""What an option's settings are where updates are few and the base is 128 wide."""
NEEDED = {"C3A": ",block_size:8", "MISS": ",r:4", "PSOFT": ",r:4", "SHIRA": ",r:2"}


def overrides_of(name: str, user_dir: Path) -> list[str]:
    """Return what the command line needs for an option, or for one of `LINEAR`."""
    if name == "own":
        name = f"lab_{crc32(bytes(user_dir))}"  # a process imports a name from one folder only
        folder = user_module(user_dir, name, Path(own_methods.__file__).read_text())
        return ["method=own", f"method._target_={name}.FromScratch", f"paths.user_dir={folder}"]
    if name in LINEAR:
        kind = name.removeprefix("linear ")
        config = PEFT_TYPE_TO_CONFIG_MAPPING[kind].__name__
        given = f"_target_:peft.{config},target_modules:[c_attn]{NEEDED.get(kind, '')}"
        option = ["method=peft", "method.linear=true", f"method.config={{{given}}}"]
        return [*option, *SMALL.get(name, ())]
    return [f"method={name}", *SMALL.get(name, ())]
