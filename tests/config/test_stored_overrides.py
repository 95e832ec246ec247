"""Overrides that a sweep's folder keeps: every way to sweep a key is read, and checked."""

import pytest

from lora_lightning.config.stored_overrides import check_overrides
from lora_lightning.config.trust import trust_of
from lora_lightning.errors import InputError

SWEPT = (
    "method.rank=1,2",
    "method.rank=choice(1,2)",
    "method.rank=range(1,4)",
    "optimizer.lr=interval(1e-4,1e-3)",
    "optimizer.lr=tag(log,interval(1e-4,1e-3))",
    "scheduler=glob(*)",
    "scheduler=glob([lin*],exclude=c*)",
    "scheduler=linear,cosine",
)


@pytest.mark.parametrize("override", SWEPT)
def test_each_kind_of_sweep_is_read(override):
    check_overrides([override], "sweep.json", trust_of(False))


@pytest.mark.parametrize(
    "override",
    ["scheduler=linear,../../elsewhere", "method=lora,{_target_:os.system}",
     "method._target_=choice(os.system,os.remove)"],
)  # fmt: skip
def test_what_is_swept_is_checked_as_what_is_set(override):
    with pytest.raises(InputError):
        check_overrides([override], "sweep.json", trust_of(False))
