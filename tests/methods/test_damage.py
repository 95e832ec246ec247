"""A damaged adapter is refused with one line that names it, whichever byte is wrong."""

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.errors import InputError
from lora_lightning.methods.adapter_files import (
    describe_adapter,
    load_adapter,
    save_adapter,
)
from lora_lightning.methods.base import adapter_tensors
from lora_lightning.methods.exports import export_loralib
from lora_lightning.methods.full import Full
from tests.methods.models import QV, adapted, fresh, same

NOISE = st.binary(min_size=16, max_size=16)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with an adapter, a reference's file of it, and a whole model."""
    folder = tmp_path_factory.mktemp("saved")
    model = adapted()
    save_adapter(model, QV, folder / "adapter")
    export_loralib(model, folder / "adapter.pt")
    save_adapter(adapted(Full()), Full(), folder / "whole")
    return folder


def damaged(path, share, noise):
    """Return the file's content before, and let 16 bytes of it be others from now on."""
    whole = path.read_bytes()
    place = round(share * (len(whole) - len(noise)))
    path.write_bytes(whole[:place] + noise + whole[place + len(noise) :])
    return whole


@pytest.mark.parametrize(
    ("source", "file", "method"),
    [
        ("adapter", "adapter/adapter_model.safetensors", QV),
        ("adapter.pt", "adapter.pt", QV),
        ("whole", "whole/model.safetensors", Full()),
    ],
)
def test_sixteen_bytes_of_tensors_overwritten_anywhere_are_noticed(source, file, method, saved):
    model = fresh(method)

    @settings(deadline=None, max_examples=60)
    @given(share=st.floats(0, 1), noise=NOISE)
    def check(share, noise):
        path = saved / file
        whole = damaged(path, share, noise)
        try:
            if path.read_bytes() != whole:
                with pytest.raises(InputError, match=f"{path}: ") as raised:
                    load_adapter(model, method, saved / source)
                assert "\n" not in str(raised.value)
        finally:
            path.write_bytes(whole)

    check()


@pytest.mark.parametrize("name", ["lora_lightning.json", "adapter_config.json"])
@settings(deadline=None, max_examples=60)
@given(share=st.floats(0, 1), noise=st.one_of(NOISE, st.text('0123 ",', min_size=16, max_size=16)))
def test_a_damaged_description_never_makes_another_adapter(name, share, noise, saved):
    folder = saved / "adapter"
    expected, model = describe_adapter(folder), fresh()
    whole = damaged(folder / name, share, noise.encode() if isinstance(noise, str) else noise)
    try:
        refused = None
        load_adapter(model, QV, folder)
        assert describe_adapter(folder) == expected
        assert same(model.state_dict(), adapted().state_dict())
    except InputError as error:
        refused = str(error)
    finally:
        (folder / name).write_bytes(whole)
    assert refused is None or str(folder) in refused


def test_tensors_of_one_adapter_beside_the_settings_of_another_are_noticed(saved, tmp_path):
    other = adapted()
    for tensor in adapter_tensors(other).values():
        tensor.data.add_(1)
    save_adapter(other, QV, tmp_path / "adapter")
    shutil.copy(saved / "adapter" / "adapter_model.safetensors", tmp_path / "adapter")
    with pytest.raises(InputError, match=f"{tmp_path / 'adapter'}: .* are of two adapters"):
        load_adapter(fresh(), QV, tmp_path / "adapter")
