"""The cells of the LoRA paper's tables, to stand beside our scores.

Hu et al. 2021, arXiv 2106.09685: Table 3 (E2E), Table 13 (DART), Table 14 (WebNLG); means over
three seeds, each run at its best epoch. `full` on GPT-2 Medium stands there from earlier work.
"""

_E2E = ("bleu", "nist", "meteor", "rouge_l", "cider")
_DART = ("bleu", "meteor", "ter")
# Table 14 gives each metric for unseen, seen and all categories, in this order.
_WEBNLG = tuple(
    prefix + metric for metric in ("bleu", "meteor", "ter") for prefix in ("unseen/", "seen/", "")
)
_COLUMNS = {"e2e": _E2E, "dart": _DART, "webnlg": _WEBNLG}

_ROWS = {
    ("e2e", "gpt2_medium", "full"): "68.2 8.62 46.2 71.0 2.47",
    ("e2e", "gpt2_medium", "lora"): "70.4 8.85 46.8 71.8 2.53",
    ("e2e", "gpt2_large", "full"): "68.5 8.78 46.0 69.9 2.45",
    ("e2e", "gpt2_large", "lora"): "70.4 8.89 46.8 72.0 2.47",
    ("dart", "gpt2_medium", "full"): "46.2 0.39 0.46",
    ("dart", "gpt2_medium", "lora"): "47.1 0.39 0.46",
    ("dart", "gpt2_large", "full"): "47.0 0.39 0.46",
    ("dart", "gpt2_large", "lora"): "47.5 0.39 0.45",
    ("webnlg", "gpt2_medium", "full"): "27.7 64.2 46.5 0.30 0.45 0.38 0.76 0.33 0.53",
    ("webnlg", "gpt2_medium", "lora"): "46.7 62.1 55.3 0.38 0.44 0.41 0.46 0.33 0.39",
    ("webnlg", "gpt2_large", "full"): "43.1 65.3 55.5 0.38 0.46 0.42 0.53 0.33 0.42",
    ("webnlg", "gpt2_large", "lora"): "48.4 64.0 57.0 0.39 0.45 0.42 0.45 0.32 0.38",
}


def paper_cells(protocol: str, model: str, method: str) -> dict[str, str]:
    """Return the paper's cells as printed, by `metric` or `subset/metric`; empty if it has none.

    The keys are those of `Evaluation.published_form`, so that the two can stand side by side.

    Args:
        protocol: `e2e`, `webnlg` or `dart`.
        model: `gpt2_medium` or `gpt2_large`.
        method: `lora` or `full`.
    """
    row = _ROWS.get((protocol, model, method))
    return dict(zip(_COLUMNS[protocol], row.split(), strict=True)) if row else {}
