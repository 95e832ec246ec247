"""Write what is derived in the tables of docs/methods.md, or check that it is current.

python -m docs.method_tables            # or: make docs
python -m docs.method_tables --check    # exit code 1 where the page is not current

A row is found by its first cell, an option of `method=` or `optimizer=`, a column by its head. Two
columns are written: the parameters that an option trains in GPT-2 Medium, with the defaults of its
config; and the published BLEU on E2E, of the rows that `evaluate.py` puts beside such a run. All
else on the page is written by hand.
"""

import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.config.build import build
from lora_lightning.config.compose import CONFIGS
from lora_lightning.errors import InputError, ProgramArguments, one_line_errors
from lora_lightning.files import atomic_text
from lora_lightning.gpt2.empty import empty_modules
from lora_lightning.methods.method import rows_of
from lora_lightning.paper.beside import RANK_SWEEP, Trained, rows_beside
from lora_lightning.paper.rows import PublishedRow, papers
from lora_lightning.paper.table import score_of
from lora_lightning.process import REPOSITORY

PAGE = REPOSITORY / "docs" / "methods.md"
PARAMETERS, PUBLISHED = "parameters, GPT-2 Medium", "published BLEU on E2E"
GROUPS = ("method", "optimizer")
PLACEHOLDERS = ("own", "peft")  # stand for a class, or a configuration, that is named besides
SIZES: dict[str, tuple[str, *tuple[int, ...]]] = {
    "lora": ("rank",),
    "lora_all_linear": ("rank",),
    "rslora": ("rank",),
    "dora": ("rank",),
    "adapter_l": ("bottleneck", 224),
    "adapter_h": ("bottleneck",),
    "prefix_layer": ("length",),
    "vera": ("config.r",),
    "adalora": ("config.init_r",),
    "fourierft": ("config.n_frequency",),
    "vblora": ("config.vector_length", 256),
    "waveft": ("config.n_frequency",),
}
"""The key that says how large an option is, and further values of it that a paper has."""
NEVER_TRAINED = "ranknum"  # of AdaLoRA: PEFT has it require a gradient on the meta device alone


def current_page(text: str) -> str:
    """Return the page with derived cells as they must be.

    Args:
        text: the page as it is.

    Raises:
        InputError: an option of `method=` has no row, or a row of a table of options is of none.
    """
    rows: set[str] = set()
    lines = list(_lines(text, rows))
    if missing := sorted(every_option() - rows - {*PLACEHOLDERS}):
        raise InputError(f"{PAGE}: no row of method={missing[0]}; write one into a table")
    return "\n".join(lines) + "\n"


def every_option() -> set[str]:
    """Return the options of `method=`."""
    return {path.stem for path in (CONFIGS / "method").glob("*.yaml")}


def _lines(text: str, methods: set[str]) -> Iterator[str]:
    """Yield the page's lines, derived cells written anew, and add the methods of its rows."""
    head: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line[1:-1].split("|")] if line.startswith("|") else []
        head = (head or cells) if cells else []
        group, option = head[0].strip("`=") if head else "", cells[0].strip("`") if cells else ""
        if group not in GROUPS or cells == head or not option.strip("-"):
            yield line
            continue
        if not (CONFIGS / group / f"{option}.yaml").is_file():
            raise InputError(f"{PAGE}: {group}={option} is no option; take its row out")
        methods |= {option} if group == "method" else set()
        written = [
            _derived(group, option, column, cell) for column, cell in zip(head, cells, strict=True)
        ]
        yield "".join(f"| {cell} " if cell else "| " for cell in written) + "|"


def _derived(group: str, option: str, column: str, cell: str) -> str:
    if column == PARAMETERS:
        return parameters(option)
    return published(group, option) if column == PUBLISHED else cell


def parameters(option: str) -> str:
    """Return how many numbers an option of `method=` trains, and at which size."""
    key, *further = SIZES.get(option, ("",))
    if not key:
        return f"{trained_parameters(option):,}"
    name = key.rpartition(".")[2]
    counts = {OmegaConf.select(_config(option), f"method.{key}"): trained_parameters(option)}
    counts |= {size: trained_parameters(option, f"method.{key}={size}") for size in further}
    return ", ".join(f"{count:,} at `{name}` {size}" for size, count in counts.items())


def trained_parameters(option: str, *overrides: str) -> int:
    """Return how many numbers an option of `method=` trains in GPT-2 Medium."""
    with empty_modules():
        model = GPT2LMHeadModel(GPT2Config(n_embd=1024, n_layer=24, n_head=16))
    method = build(_config(option, *overrides).method)
    method.apply(model)
    rows = rows_of(method, model)
    return sum(row.count for row in rows if NEVER_TRAINED not in row.kind)


@cache
def _config(option: str, *overrides: str) -> Any:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(f"method/{option}", list(overrides))


def published(group: str, option: str) -> str:
    """Return the published BLEU of an option: a score of each row, others' LoRA as one range."""
    method, optimizer = (option, None) if group == "method" else ("lora", option)
    rank = OmegaConf.select(_config(option), "method.rank") if optimizer is None else None
    trained = Trained("e2e", "gpt2_medium", method, optimizer, rank)
    rows = [row for row in rows_beside(trained)
            if row.method == method and row.comparable and row.table != RANK_SWEEP
            and (optimizer is None or row.optimizer == optimizer)]  # fmt: skip
    found = [_one(row, rows) for row in rows if row.kind != "rerun"]
    if again := [row.scores["all"]["bleu"] for row in rows if row.kind == "rerun"]:
        found.append(f"{min(again)} to {max(again)} ({len(again)} times run again by others)")
    return ", ".join(found)


def _one(row: PublishedRow, rows: list[PublishedRow]) -> str:
    """Return a row's score, who published it, and what sets it apart from others of the same."""
    same = [other for other in rows if other.paper == row.paper]
    paper = papers()[row.paper]
    parts = [f"{paper.name} {paper.year or ''}".strip(), "copied" if row.kind == "copied" else ""]
    if len({other.rank for other in same}) > 1:
        parts.append(f"rank {row.rank}")
    elif len({other.parameters for other in same}) > 1:
        parts.append(str(row.parameters))
    mark = "°" if row.texts == 1 else ""
    return f"{score_of(row, 'all', 'bleu')}{mark} ({', '.join(part for part in parts if part)})"


def main() -> None:
    """Write the page, or check it.

    Raises:
        InputError: the page is not current, or see `current_page`.
    """
    parser = ProgramArguments(__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    text = PAGE.read_text(encoding="utf-8")
    current = current_page(text)
    if check and current != text:
        raise InputError(f"{PAGE} is not current; run make docs")
    if not check:
        with atomic_text(PAGE) as file:
            file.write(current)
        sys.stdout.write(f"{PAGE}\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
