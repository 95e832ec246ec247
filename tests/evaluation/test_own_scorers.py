"""What a protocol of the user's own measures is judged where it is taken."""

import pytest

from lora_lightning.errors import InputError
from lora_lightning.evaluation.evaluation import evaluate
from lora_lightning.evaluation.measurement import Measurement
from lora_lightning.evaluation.protocols.e2e import E2EProtocol
from lora_lightning.evaluation.segment import Segment

SEGMENTS = [Segment(f"text {i}", (f"a text {i}",)) for i in range(3)]


class Scorer:
    def __init__(self, measured):
        self.measured = measured

    def measure(self, metric):
        return self.measured

    def close(self):
        pass


def protocol(scorer):
    names = {"further_metric_names": ("mine",), "scorer": lambda self, segments, java: scorer}
    return type("Mine", (E2EProtocol,), names)(metrics=["mine"])


def measurement(number):
    return Measurement(statistics=[1] * number, score=sum, signature="counts", tokens=None)


@pytest.mark.parametrize(("scorer", "said"), [
    (None, r"Mine.scorer\(\) gives a NoneType, without measure\(metric\) and close\(\)"),
    (type("Half", (), {"measure": lambda self, metric: 1})(), "gives a Half, without"),
    (type("Other", (Scorer,), {"measure": lambda self: 1})(1), "gives a Other, without"),
    (Scorer(3.0), "mine is measured as a float, where a Measurement is needed"),
    (Scorer(measurement(2)), "mine has statistics of 2 segments, and there are 3"),
])  # fmt: skip
def test_what_is_no_measurement_of_each_segment_is_named(scorer, said):
    with pytest.raises(InputError, match=said):
        evaluate(protocol(scorer), SEGMENTS)


def test_a_measurement_of_each_segment_is_taken():
    assert evaluate(protocol(Scorer(measurement(3))), SEGMENTS).scores == {"mine": 3}


def test_a_metric_that_a_subclass_names_and_does_not_measure_is_named():
    named = type("Mine", (E2EProtocol,), {"further_metric_names": ("mine",)})(metrics=["mine"])
    with pytest.raises(InputError, match="'mine' is named by the protocol, but its scorer does"):
        evaluate(named, SEGMENTS)
