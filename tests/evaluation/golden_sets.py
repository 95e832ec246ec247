"""The golden sets of the official scorers, read as a user's files are."""

import gzip
import json
from pathlib import Path

import pytest

from lora_lightning.evaluation.protocols.dart import DARTProtocol
from lora_lightning.evaluation.protocols.e2e import E2EProtocol
from lora_lightning.evaluation.protocols.webnlg import WebNLGProtocol
from lora_lightning.process import cache_folder
from tests.goldens import golden

EDGE_CASES = Path(__file__).parent / "fixtures" / "edge_cases"
E2E_SYSTEMS = ("tgen", "chen", "lora_gpt2_medium")
WEBNLG_SYSTEMS = ("melbourne", "adapt", "bart_large")


def close(value):
    """Equal to the tolerance of the goldens: 1e-9, relative; None only to None."""
    return value if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)


def with_cache(protocol):
    """The protocol as the commands have it: METEOR's paraphrases are indexed once."""
    protocol.cache = cache_folder()
    return protocol


def e2e_set(system, metrics=None):
    """Protocol, segments, official corpus scores and official segments of an E2E system."""
    folder = golden("scores", "e2e")
    kind = "test" if system == "lora_gpt2_medium" else "challenge"
    protocol = with_cache(E2EProtocol(metrics))
    segments = protocol.read(
        folder / f"{system}.hypotheses.txt", folder / f"references_{kind}.txt.gz"
    )
    scores = read_json(folder / "scores.json")[system]["scores"]
    return protocol, segments, scores, read_records(folder / f"{system}.segments.jsonl.gz")


def e2e_reference_tokens(system, segments):
    """The official PTB tokens of each segment's references."""
    kind = "test" if system == "lora_gpt2_medium" else "challenge"
    path = golden("scores", "e2e", f"references_{kind}.ptb.txt.gz")
    lines = iter(gzip.decompress(path.read_bytes()).decode().split("\n"))
    groups = []
    for segment in segments:
        groups.append([next(lines) for _ in segment.references])
        assert next(lines) == ""
    return groups


def webnlg_set(system, metrics=None):
    """Protocol, segments, official scores by subset, official segments of a WebNLG system."""
    folder = golden("scores", "webnlg")
    protocol = with_cache(WebNLGProtocol(metrics, seen_lines=folder / "seen.json"))
    references = [folder / f"reference{i}.all.txt.gz" for i in range(6)]
    segments = protocol.read(folder / f"{system}.all.hypotheses.txt.gz", references)
    subsets = read_json(folder / "scores.json")[system]
    scores = {name: subset["scores"] for name, subset in subsets.items()}
    return protocol, segments, scores, read_records(folder / f"{system}.all.segments.jsonl.gz")


def dart_set(metrics=None):
    """Protocol, segments, official scores and official segments of BART-large on DART."""
    folder = golden("scores", "dart")
    protocol = with_cache(DARTProtocol(metrics))
    references = [folder / f"reference{i}.txt.gz" for i in range(6)]
    segments = protocol.read(folder / "bart_large.hypotheses.txt.gz", references)
    scores = read_json(folder / "scores.json")["bart_large"]["scores"]
    return protocol, segments, scores, read_records(folder / "bart_large.segments.jsonl.gz")


def edge_case_set(kind, metrics=None):
    """Protocol, segments, official scores and official segments of the edge cases of a kind."""
    if kind == "e2e":
        protocol = with_cache(E2EProtocol(metrics))
        paths = EDGE_CASES / "e2e_hypotheses.txt", EDGE_CASES / "e2e_references.txt"
        segments = protocol.read(*paths)
    else:
        protocol = with_cache(WebNLGProtocol(metrics))
        references = [EDGE_CASES / kind / f"reference{i}.txt" for i in range(6)]
        segments = protocol.read(EDGE_CASES / kind / "hypotheses.txt", references)
    scores = read_json(EDGE_CASES / "scores.json")[kind]["scores"]
    return protocol, segments, scores, edge_case_records(kind)


def edge_case_records(kind):
    return [record[kind] for record in read_records(EDGE_CASES / "segments.jsonl")]


def read_json(path):
    return json.loads(path.read_text("utf-8"))


def read_records(path):
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    return [json.loads(line) for line in content.decode().split("\n") if line]
