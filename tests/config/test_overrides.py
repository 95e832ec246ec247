"""A stored value, written as an override, comes back as it was."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from lora_lightning.config.overrides import plain_override


@pytest.mark.parametrize(
    "value", [3, 0.5, True, None, "it's", ["q", 1], {"minutes": 5}, [{"_target_": "a.B", "x": [1]}]]
)
def test_an_override_means_the_value(value):
    parsed = OverridesParser.create().parse_override(f"key={plain_override(value)}")
    assert parsed.value() == value
