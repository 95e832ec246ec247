"""What the pages for developers name exists, and the table of the rooms is true."""

import re
import sys

import grimp
import pytest
from omegaconf import OmegaConf

from docs.rooms import GROUND, PACKAGE, read_rooms
from tests.goldens import ROOT

PAGES = ("AGENTS.md", "CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md")
PATH = re.compile(r"[\w./-]+(/|\.(py|md|yaml|toml|svg|cff|txt))")
MADE = {".venv/"}  # by `make`


def codes(page):
    """Every piece of code of a page: spans, and lines of fenced blocks."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)) + lines


def citation():
    return OmegaConf.to_container(OmegaConf.load(ROOT / "CITATION.cff"))


def exists(path):
    return (ROOT / path).exists() or (ROOT / PACKAGE / path).exists()


def table_of_rooms():
    lines = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows if len(row) == 5 and row[0].startswith("`")}


def names(cell):
    return set(re.findall(r"\w+", cell))


@pytest.mark.parametrize("page", PAGES)
def test_every_path_of_a_page_exists(page):
    paths = {code for code in codes(page) if PATH.fullmatch(code)} - MADE
    assert sorted(path for path in paths if not exists(path)) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_exists(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for code in codes(page):
        words = code.split("#")[0].split()
        if words[:1] == ["make"]:
            assert [word for word in words[1:] if f"\n{word}:" not in makefile] == [], code
        if words[:2] == ["python", "-m"]:
            module = words[2].replace(".", "/")
            assert words[2] == "pytest" or exists(f"{module}.py") or exists(module), code
            arguments = [word for word in words[3:] if "/" in word]
            assert [path for path in arguments if not exists(path)] == [], code


def test_the_table_has_every_room_and_the_file_to_open_first():
    rooms = [room for floor in read_rooms().floors for room in floor]
    table = table_of_rooms()
    assert list(table) == [*rooms, *GROUND]
    for room, (*_, first) in table.items():
        path = ROOT / PACKAGE / first.strip("`")
        assert path.is_file()
        assert first.strip("`").split("/")[0].removesuffix(".py") == room


def test_the_table_says_what_each_room_imports():
    table = table_of_rooms()
    arrows = read_rooms().arrows
    for room in table:
        imported = {target for source, target in arrows if source == room}
        assert names(table[room][1]) == imported, f"docs/architecture.md, row of {room}"


def test_the_table_says_which_libraries_each_room_knows():
    graph = grimp.build_graph(PACKAGE, include_external_packages=True, cache_dir=None)
    ours = (PACKAGE, *sys.stdlib_module_names)
    for room, (_, _, libraries, _) in table_of_rooms().items():
        graph.squash_module(f"{PACKAGE}.{room}")
        known = graph.find_modules_directly_imported_by(f"{PACKAGE}.{room}")
        others = {name for name in known if name.split(".")[0] not in ours}
        assert names(libraries) == others, f"docs/architecture.md, row of {room}"


def test_the_citation_names_project_version_and_paper():
    cited = citation()
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license", "type"} <= cited.keys()
    assert f'\nversion = "{cited["version"]}"\n' in pyproject
    [paper] = cited["references"]
    assert "2106.09685" in paper["url"]
    assert all({"family-names", "given-names"} <= author.keys() for author in paper["authors"])


def test_the_changelog_has_the_version_that_is_built():
    assert f"\n## {citation()['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readme_leads_to_the_pages_at_the_top():
    for readme in ("README.md", "README.zh-CN.md"):
        text = (ROOT / readme).read_text(encoding="utf-8")
        for page in ("AGENTS.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
            assert f"]({page})" in text, readme
