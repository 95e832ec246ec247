"""Runs with predictions and scores, written by hand: a recorded training and a few texts."""

import json

from tests.recorded import copy_recorded
from tests.tiny import write_rows

HOSTILE = "</script><script>window.taken = 1</script><img src=x onerror='window.taken = 2'>"
TEXTS = [
    ("name : Aromi | area : riverside", "Aromi is in the city centre .", 0.5),
    ("name : Aromi | Type : pub", "Aromi is a pub for children .", 0.9),
    ("name : Zizzi | Type : pub | area : riverside", f"Zizzi is a pub {HOSTILE}", 0.1),
    *((f"name : Zizzi | near : Ranch {n}", f"Zizzi number {n} of all .", 0.2) for n in range(60)),
]


def scored_run(folder, texts=TEXTS, name="finished"):
    """Return a run in which these texts were decoded and scored."""
    run = copy_recorded(folder / "runs") / name
    predictions, evaluation = (run / part / "test" for part in ("predictions", "evaluation"))
    for place in (predictions, evaluation):
        place.mkdir(parents=True)
    write_rows(
        predictions / "predictions.jsonl",
        [
            {
                "id": number,
                "context": context,
                "text": text,
                "hypotheses": [{"text": text, "score": -0.5}, {"text": "Second .", "score": -1.0}],
            }
            for number, (context, text, _) in enumerate(texts)
        ],
    )
    write_rows(
        evaluation / "sentences.jsonl",
        [
            {
                "id": number,
                "context": context,
                "category": "first" if number < 2 else "second",
                "seen": number != 2,
                "hypothesis": text,
                "references": ["A reference .", HOSTILE],
                "metrics": {"bleu": score, "ter": 1 - score},
            }
            for number, (context, text, score) in enumerate(texts)
        ],
    )
    scores = {"scores": {"bleu": 0.4, "ter": 0.6}, "not_computed": {}, "protocol": "e2e",
              "signatures": {"bleu": HOSTILE}, "notes": [HOSTILE],
              "subsets": {"seen": {"bleu": 0.5, "ter": 0.5}}}  # fmt: skip
    (evaluation / "metrics.json").write_text(json.dumps(scores), encoding="utf-8")
    return run
