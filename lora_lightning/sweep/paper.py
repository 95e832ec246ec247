"""The paper's sweep over LoRA's rank: Hu et al. 2021, table 18, E2E, GPT-2 Medium, 26,000 updates.

Drawn beside a sweep of one's own over the same data set and model. BLEU as a fraction, the scale on
which the E2E scorer reports it. The paper does not say how its validation loss is averaged, nor
which alpha it used.
"""

COLUMNS = ("val/loss", "bleu", "nist", "meteor", "rouge_l", "cider")
LABEL = "paper: E2E, GPT-2 Medium"
SETTING = {"data": "e2e", "model": "gpt2_medium", "method": "lora"}  # what it was drawn from
PARAMETERS_PER_RANK = 98_304  # q and v in 24 layers, 1,024 wide: 24 · 2 · (1,024 + 1,024)
TABLE = {
    1: (1.23, 0.6872, 8.7215, 0.4565, 0.7052, 2.4329),
    2: (1.21, 0.6917, 8.7413, 0.4590, 0.7052, 2.4639),
    4: (1.18, 0.7038, 8.8439, 0.4689, 0.7186, 2.5349),
    8: (1.17, 0.6957, 8.7457, 0.4636, 0.7196, 2.5196),
    16: (1.16, 0.6961, 8.7483, 0.4629, 0.7177, 2.4985),
    32: (1.16, 0.6933, 8.7736, 0.4642, 0.7105, 2.5255),
    64: (1.16, 0.6924, 8.7174, 0.4651, 0.7180, 2.5070),
    128: (1.16, 0.6873, 8.6718, 0.4628, 0.7127, 2.5030),
    256: (1.16, 0.6892, 8.6982, 0.4629, 0.7128, 2.5012),
    512: (1.16, 0.6878, 8.6857, 0.4637, 0.7128, 2.5025),
    1024: (1.17, 0.6937, 8.7495, 0.4659, 0.7149, 2.5090),
}


def paper_curve(metric: str, over_parameters: bool = False) -> list[tuple[float, float]]:
    """Return (rank, score) points of the paper; empty where its table lacks the metric.

    Args:
        metric: `val/loss`, or a score such as `test/bleu`.
        over_parameters: give trainable parameters instead of ranks.
    """
    name = metric if metric == "val/loss" else metric.split("/")[-1]
    if name not in COLUMNS or metric.startswith("val/") != (name == "val/loss"):
        return []
    unit = PARAMETERS_PER_RANK if over_parameters else 1
    return [(rank * unit, row[COLUMNS.index(name)]) for rank, row in TABLE.items()]
