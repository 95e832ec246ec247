"""sweep.html: a sweep's tables and figures in one file that needs no other."""

from base64 import b64encode
from pathlib import Path

from lora_lightning.files import atomic_text
from lora_lightning.pages.render import render
from lora_lightning.sweep.figures import draw_figures
from lora_lightning.sweep.published import published_beside
from lora_lightning.sweep.record import SweepFolder
from lora_lightning.sweep.show import errors
from lora_lightning.sweep.table_file import write_table
from lora_lightning.sweep.text import PARTIAL, tables

MOST_ROWS = 1000  # of a table; sweep.csv beside the page has all


def write_page(sweep: SweepFolder) -> Path:
    """Draw the figures into `plots/`, write sweep.html beside it, and return the page's path."""
    plan, rows = sweep.plan, write_table(sweep)
    figures = draw_figures(plan, rows, sweep.path / "plots")
    values = {
        "name": sweep.path.name,
        "command": f"python {plan.command}.py {' '.join(plan.arguments)}",
        "tables": tables(sweep, rows, most=MOST_ROWS),
        "partial": PARTIAL if any(row.get("partial") for row in rows) else None,
        "errors": errors(rows, MOST_ROWS),
        "published": published_beside(plan, rows),
        "figures": [
            {"name": figure.stem.replace("_", " "), "png": b64encode(figure.read_bytes()).decode()}
            for figure in figures
        ],
    }
    with atomic_text(sweep.path / "sweep.html") as file:
        file.write(render("sweep.html", values))
    return sweep.path / "sweep.html"
