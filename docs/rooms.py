"""Draw docs/rooms.svg, the picture of the rooms and their imports, or check that it is current.

python -m docs.rooms            # or: make docs
python -m docs.rooms --check    # exit code 1 where rooms, floors or arrows have changed since

Floors come from the import rules in pyproject.toml, arrows from the imports themselves; one that a
longer way implies is not drawn. The picture holds all of them as JSON in its description, so that a
check compares rooms and not pixels; how large a room is may change without a new picture.
"""

import json
import sys
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import grimp
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from lora_lightning.errors import InputError, ProgramArguments, one_line_errors
from lora_lightning.files import atomic_path
from lora_lightning.process import REPOSITORY

PACKAGE = "lora_lightning"
PICTURE = REPOSITORY / "docs" / "rooms.svg"
GROUND = (
    "tables",
    "process",
    "files",
    "checksum",
    "ranges",
    "errors",
)  # any room may use these; no arrows to them
DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"
# Inches.
BOX = (1.62, 0.62)
FLOOR_HEIGHT = 1.1
COLUMN_WIDTH = 0.875
WIDTH = 20 * COLUMN_WIDTH
# Chosen so that no arrow runs through a box and few cross: the middle of each, in columns from 0.
COLUMNS = {
    "__main__": 6, "report": 6,
    "doctor": 1, "loaded_run": 3, "export": 5, "demo": 7, "sample": 9, "config_reference": 11,
    "slots": 13, "compare": 15, "analyse": 17, "rerank": 19, "methods_demo": 21,
    "cli": 6, "tasks": 3.5, "sweep": 9.75, "one_pass": 9.75, "checkpoints": 6, "tracking": 8.5,
    "decoding": 3.5, "training": 7.25, "runs": 9.75, "evaluation": 1, "data": 6, "methods": 8.5,
    "gpt2": 8.5, "config": 11, "paper": 3.5, "pages": 13.5,
}  # fmt: skip
COLOURS = (
    "#444444",
    "#b4462f",
    "#b07a1e",
    "#5f7f2c",
    "#2a7f6f",
    "#2f6ea8",
    "#5a56a8",
    "#8a4b93",
    "#a0527a",
    "#666666",
    "#3d8b8b",
)


@dataclass(frozen=True)
class Rooms:
    """The rooms on their floors, from the top, and which imports from which, both sorted."""

    floors: list[list[str]]
    arrows: list[list[str]]


def read_rooms() -> Rooms:
    """Return the floors that pyproject.toml states and the arrows that the code has."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    rules: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    [layers] = [rule["layers"] for rule in rules if rule.get("containers") == [PACKAGE]]
    named = [[room.strip() for room in layer.split("|")] for layer in layers]
    floors = [[room for room in floor if room not in GROUND] for floor in named]
    rooms = [room for floor in floors for room in floor]
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    for room in rooms:
        graph.squash_module(f"{PACKAGE}.{room}")
    arrows = [
        [room, target]
        for room in rooms
        for target in rooms
        if target != room  # a room's door opens what is in it
        and graph.direct_import_exists(importer=f"{PACKAGE}.{room}", imported=f"{PACKAGE}.{target}")
    ]
    return Rooms([floor for floor in floors if floor], sorted(arrows))


def drawn_rooms(picture: Path) -> Rooms:
    """Return what a picture shows.

    Raises:
        InputError: the file is no picture of this program.
    """
    try:
        text = ElementTree.parse(picture).getroot().findtext(f".//{DESCRIPTION}", "")
        return Rooms(**json.loads(text))
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise InputError(f"{picture}: no picture of the rooms ({error}); run make docs") from None


def implied(rooms: Rooms) -> set[tuple[str, str]]:
    """Return the arrows whose ends are also joined by a way over other rooms."""
    below = {room: {b for a, b in rooms.arrows if a == room} for room, _ in rooms.arrows}

    @cache
    def reached(room: str) -> frozenset[str]:
        direct = below.get(room, set())
        return frozenset(direct).union(*(reached(target) for target in direct))

    return {
        (room, target)
        for room, targets in below.items()
        for target in targets
        if any(target in reached(other) for other in targets - {target})
    }


def size_of(room: str) -> str:
    """Return how many files and lines a room has, as text."""
    folder = REPOSITORY / PACKAGE / room
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    lines = [len(file.read_text(encoding="utf-8").splitlines()) for file in files]
    count = sum(1 for number in lines if number)  # an __init__.py that only marks is no file
    return f"{count} file{'s' if count > 1 else ''} · {sum(lines):,} lines"


def draw(rooms: Rooms, picture: Path) -> None:
    """Draw the rooms as boxes on their floors with arrows to what they import.

    Args:
        rooms: what to draw.
        picture: the SVG file.

    Raises:
        InputError: a room has no column yet.
    """
    height = (len(rooms.floors) + 1) * FLOOR_HEIGHT
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": PACKAGE}):
        figure = Figure(figsize=(WIDTH, height), facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(0, height)
        axes.axis("off")
        places = place(rooms)
        _draw_arrows(axes, rooms, places)
        for number, floor in enumerate(rooms.floors):
            for room in floor:
                _draw_box(axes, places[room], BOX[0], (room, size_of(room)), COLOURS[number])
        ground = ("   ".join(GROUND), "any room may use these")
        _draw_box(axes, (WIDTH / 2, 0.6), WIDTH - 0.6, ground, COLOURS[-1])
        metadata = {"Date": None, "Title": "The rooms", "Description": json.dumps(asdict(rooms))}
        with atomic_path(picture) as temporary:
            figure.savefig(temporary, format="svg", metadata=metadata)


def place(rooms: Rooms) -> dict[str, tuple[float, float]]:
    """Return the middle of each room's box, in inches from the lower left corner.

    Raises:
        InputError: a room has no column yet.
    """
    floor_of = {room: number for number, floor in enumerate(rooms.floors) for room in floor}
    if new := sorted(floor_of.keys() - COLUMNS.keys()):
        raise InputError(f"{', '.join(new)}: no column in COLUMNS of docs/rooms.py; choose one")
    heights = {room: FLOOR_HEIGHT * (len(rooms.floors) - n + 0.5) for room, n in floor_of.items()}
    return {room: (COLUMN_WIDTH * COLUMNS[room], height) for room, height in heights.items()}


def _draw_box(
    axes: Any, middle: tuple[float, float], width: float, texts: tuple[str, str], colour: str
) -> None:
    x, y = middle
    corner = (x - width / 2, y - BOX[1] / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner, width, BOX[1], boxstyle="round,pad=0,rounding_size=0.08",
            facecolor="#fbfaf7", edgecolor=colour, linewidth=1.6, zorder=3,
        )
    )  # fmt: skip
    axes.text(x, y + 0.1, texts[0], ha="center", va="center", fontsize=11, weight="bold", zorder=4)
    axes.text(x, y - 0.15, texts[1], ha="center", va="center", fontsize=8, color="#555", zorder=4)


def _draw_arrows(axes: Any, rooms: Rooms, places: dict[str, tuple[float, float]]) -> None:
    """Draw the arrows that no longer way implies, each between the near parts of its two boxes."""
    colour_of = {room: COLOURS[n] for n, floor in enumerate(rooms.floors) for room in floor}
    for room, target in sorted({(a, b) for a, b in rooms.arrows} - implied(rooms)):
        (x, y), (end_x, end_y) = places[room], places[target]
        aside = max(-0.55, min(0.55, (end_x - x) * 0.15))
        start, end = (x + aside, y - BOX[1] / 2), (end_x - aside, end_y + BOX[1] / 2)
        axes.add_patch(
            FancyArrowPatch(
                start, end, arrowstyle="-|>", mutation_scale=11, shrinkA=0, shrinkB=0,
                color=colour_of[room], linewidth=1.5, zorder=2,
            )
        )  # fmt: skip


def main() -> None:
    """Draw the picture, or check it.

    Raises:
        InputError: the picture is not current.
    """
    parser = ProgramArguments(__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    rooms = read_rooms()
    if not parser.parse_args().check:
        draw(rooms, PICTURE)
        sys.stdout.write(f"{PICTURE}\n")
    elif drawn_rooms(PICTURE) != rooms:
        raise InputError(f"{PICTURE} is not current; run make docs")


if __name__ == "__main__":
    with one_line_errors():
        main()
