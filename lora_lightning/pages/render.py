"""Pages of HTML that need no other file and no network, from the templates in `templates/`.

Everything that a template is given is data: markup in it is shown, never obeyed.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lora_lightning.errors import presentable


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return a page.

    Args:
        template: name of a file in `templates/`, which extends `base.html`.
        values: by the names that the template uses; one that is missing is an error.
    """
    return presentable(_environment().get_template(template).render(values))


class Script(NamedTuple):
    """A program of a page.

    Attributes:
        source: its text, as it stands in the page.
        policy: what the page's policy calls it by, so that the browser runs this one and no other.
    """

    source: Markup
    policy: str


def script(name: str) -> Script:
    """Return a program that is a file of this package, such as `templates/report.js`."""
    source = _own(name)
    digest = b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return Script(Markup(source), f"'sha256-{digest}'")


def style(name: str) -> Markup:
    """Return a style sheet that is a file of this package, such as `vendor/uPlot.min.css`."""
    return Markup(_own(name))


def _own(name: str) -> str:
    return presentable(files(__package__ or "").joinpath(name).read_text(encoding="utf-8"))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lora_lightning.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = number
    return environment


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with so many digits behind the point, `–` for none."""
    return "–" if value is None else f"{value:.{digits}f}"
