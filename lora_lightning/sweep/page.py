"""sweep.html: a sweep's tables and figures in one file that needs no other."""

from base64 import b64encode
from html import escape
from pathlib import Path

from lora_lightning.errors import presentable
from lora_lightning.files import atomic_text
from lora_lightning.sweep.figures import draw_figures
from lora_lightning.sweep.published import Beside, published_beside
from lora_lightning.sweep.record import SweepFolder
from lora_lightning.sweep.show import errors
from lora_lightning.sweep.table import write_table
from lora_lightning.sweep.text import PARTIAL, TextTable, tables

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em; }
div { overflow-x: auto; }
table { border-collapse: collapse; margin-bottom: 2em; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; }
td, th { padding: .25em .7em; border-bottom: 1px solid #8884; text-align: right; }
figure { display: inline-block; margin: 0 1em 1em 0; max-width: 560px; }
img { width: 100%; }
pre { overflow-x: auto; }
"""


def write_page(sweep: SweepFolder) -> Path:
    """Draw the figures into `plots/`, write sweep.html beside it, and return the page's path."""
    plan, rows = sweep.plan, write_table(sweep)
    figures = draw_figures(plan, rows, sweep.path / "plots")
    command = presentable(f"python {plan.command}.py {' '.join(plan.arguments)}")
    page = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>{escape(sweep.path.name)}</title><style>{STYLE}</style>",
        f"<h1>{escape(sweep.path.name)}</h1><pre>{escape(command)}</pre>",
        *(table_html(table) for table in tables(sweep, rows)),
        *([f"<p>{escape(PARTIAL)}</p>"] if any(row.get("partial") for row in rows) else []),
        *(f"<p>{escape(error)}</p>" for error in errors(rows)),
        *(beside_html(beside) for beside in published_beside(plan, rows)),
        *(figure_html(figure) for figure in figures),
        "</html>",
    ]
    with atomic_text(sweep.path / "sweep.html") as file:
        file.write("\n".join(page) + "\n")
    return sweep.path / "sweep.html"


def table_html(table: TextTable) -> str:
    """Return a table as HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in table.rows
    )
    caption = f"<caption>{escape(table.title)}</caption>"
    return f"<div><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def beside_html(beside: Beside) -> str:
    """Return published rows, and what their marks mean, as HTML."""
    table = TextTable(beside.title, beside.table.columns, beside.table.cells, False)
    legend = "".join(f"<p>{escape(mark)}</p>" for mark in beside.table.legend)
    return table_html(table) + legend


def figure_html(figure: Path) -> str:
    """Return an image as HTML that holds the image itself."""
    name = figure.stem.replace("_", " ")
    image = b64encode(figure.read_bytes()).decode()
    return f"<figure><img alt='{escape(name)}' src='data:image/png;base64,{image}'></figure>"
