"""Published numbers of the paper (Hu et al. 2021, tables 3, 13, 14), to stand beside ours.

Each is as printed: E2E BLEU, METEOR and ROUGE-L in percent; WebNLG and DART METEOR and TER as
fractions.
"""

# (protocol, model, method) → metric → printed mean; WebNLG: "all", then its subsets.
_E2E = ("bleu", "nist", "meteor", "rouge_l", "cider")
_OTHERS = ("bleu", "meteor", "ter")
_CELLS: dict[tuple[str, str, str], dict[str, tuple[float, ...]]] = {
    ("e2e", "gpt2_medium", "full"): {"all": (68.2, 8.62, 46.2, 71.0, 2.47)},
    ("e2e", "gpt2_medium", "lora"): {"all": (70.4, 8.85, 46.8, 71.8, 2.53)},
    ("e2e", "gpt2_large", "full"): {"all": (68.5, 8.78, 46.0, 69.9, 2.45)},
    ("e2e", "gpt2_large", "lora"): {"all": (70.4, 8.89, 46.8, 72.0, 2.47)},
    ("dart", "gpt2_medium", "full"): {"all": (46.2, 0.39, 0.46)},
    ("dart", "gpt2_medium", "lora"): {"all": (47.1, 0.39, 0.46)},
    ("dart", "gpt2_large", "full"): {"all": (47.0, 0.39, 0.46)},
    ("dart", "gpt2_large", "lora"): {"all": (47.5, 0.39, 0.45)},
    ("webnlg", "gpt2_medium", "full"): {
        "all": (46.5, 0.38, 0.53),
        "seen": (64.2, 0.45, 0.33),
        "unseen": (27.7, 0.30, 0.76),
    },
    ("webnlg", "gpt2_medium", "lora"): {
        "all": (55.3, 0.41, 0.39),
        "seen": (62.1, 0.44, 0.33),
        "unseen": (46.7, 0.38, 0.46),
    },
    ("webnlg", "gpt2_large", "full"): {
        "all": (55.5, 0.42, 0.42),
        "seen": (65.3, 0.46, 0.33),
        "unseen": (43.1, 0.38, 0.53),
    },
    ("webnlg", "gpt2_large", "lora"): {
        "all": (57.0, 0.42, 0.38),
        "seen": (64.0, 0.45, 0.32),
        "unseen": (48.4, 0.39, 0.45),
    },
}


def published_scores(protocol: str, model: str, method: str) -> dict[str, dict[str, float]]:
    """Return subset (`all`, `seen`, `unseen`) → metric → the paper's mean; empty where it has none.

    Args:
        protocol: `e2e`, `webnlg` or `dart`.
        model: option of the group `model`, such as `gpt2_medium`.
        method: option of the group `method`, such as `lora`.
    """
    metrics = _E2E if protocol == "e2e" else _OTHERS
    cells = _CELLS.get((protocol, model, method), {})
    return {subset: dict(zip(metrics, values, strict=True)) for subset, values in cells.items()}
