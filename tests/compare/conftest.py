"""Evaluated folders of few sentences, by metrics that need no Java."""

import random

import pytest

from tests.commands import run_command

WORDS = "the blue spice is a cheap pub near river in city with high rating".split()  # noqa: SIM905


def references(count=40):
    generator = random.Random(0)
    return [" ".join(generator.choices(WORDS, k=9)) for _ in range(count)]


def hypotheses(share, seed=0, count=40):
    """Texts that keep this share of their reference's words."""
    generator = random.Random(seed)
    return [
        " ".join(w if generator.random() < share else "x" for w in text.split())
        for text in references(count)
    ]


class Evaluations:
    """Makes folders that evaluate.py wrote."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, name, lines):
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    def make(self, name, texts, refs=None, metrics="bleu,nist", protocol="e2e", seen=None):
        refs = references(len(texts)) if refs is None else refs
        output = self.folder / name
        lines = [] if seen is None else [f"protocol.seen_lines={seen}"]
        run_command(
            "evaluate",
            f"protocol={protocol}",
            f"protocol.metrics=[{metrics}]",
            f"hypotheses={self.write(f'{name}.txt'.replace('/', '_'), texts)}",
            f"references={self.write('references.txt', refs)}",
            f"output_dir={output}",
            *lines,
        )
        return output


@pytest.fixture(scope="session")
def evaluations(tmp_path_factory):
    return Evaluations(tmp_path_factory.mktemp("evaluations"))


@pytest.fixture(scope="session")
def good(evaluations):
    return evaluations.make("good", hypotheses(0.95))


@pytest.fixture(scope="session")
def poor(evaluations):
    return evaluations.make("poor", hypotheses(0.7))
