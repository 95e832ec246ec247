"""Pages of HTML that need no other file and no network, from the templates in `templates/`.

Everything that a template is given is data: markup in it is shown, never obeyed.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lora_lightning.errors import presentable


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return a page.

    Args:
        template: name of a file in `templates/`, which extends `base.html`.
        values: by the names that the template uses; one that is missing is an error.
    """
    return presentable(_environment().get_template(template).render(values))


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
