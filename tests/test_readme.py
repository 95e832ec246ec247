"""The README's commands are commands: they compose, and what they name exists."""

import re
import shlex

import pytest

from benchmarks import summary, table
from lora_lightning.config.rules import check_config
from tests.config.test_rules import composed
from tests.goldens import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"python (train|generate|evaluate)\.py ([^`\n#]+)", README)))
EXPERIMENTS = sorted(set(re.findall(r"experiment=([\w/]+)", README)))


def test_the_readme_shows_every_command():
    assert {command for command, _ in COMMANDS} == {"train", "generate", "evaluate"}


@pytest.mark.parametrize(("command", "arguments"), COMMANDS)
def test_a_command_of_the_readme_composes(command, arguments):
    overrides = [
        re.sub(r"=([^=\[\],]+),.*", r"=\1", argument)  # a sweep's first value
        for argument in shlex.split(arguments)
        if argument != "-m" and not argument.startswith(("text=", "run="))
    ]
    check_config(composed(*overrides, command=command))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_of_the_readme_exists(experiment):
    assert (ROOT / "configs" / "experiment" / f"{experiment}.yaml").is_file()


def test_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)$", README, re.MULTILINE):
        assert f"\n{target}:" in makefile


def test_every_group_of_the_table_lists_its_options():
    for line in README.splitlines():
        if match := re.match(r"\| `(\w+)` \| (.*) \|$", line):
            group, cell = match.groups()
            if group == "experiment" or not (ROOT / "configs" / group).is_dir():
                continue
            options = {path.stem for path in (ROOT / "configs" / group).glob("*.yaml")}
            assert options <= set(re.findall(r"`(\w+)`", cell))


def test_the_chinese_readme_shows_the_same_commands_and_options():
    chinese = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    assert "README.zh-CN.md" in README
    assert "(README.md)" in chinese

    def shown(text):
        commands = re.findall(r"^(?:python|make) [^#\n]+", text, re.MULTILINE)
        options = [cell for line in text.splitlines() if line.startswith("| `")
                   for cell in re.findall(r"`[^`]+`", line)]  # fmt: skip
        links = re.findall(r"\]\((docs/[^)]+)\)", text)
        headings = re.findall(r"^#+ ", text, re.MULTILINE)
        return [command.strip() for command in commands], options, links, headings

    assert shown(chinese) == shown(README)


def test_every_link_of_the_documentation_leads_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", summary.PAGES, ids=lambda page: page.name)
def test_its_speeds_are_those_that_the_benchmarks_wrote(page):
    known = summary.figures(table.README.read_text("utf-8"))
    shown = summary.block(page.read_text("utf-8"), summary.NAME)
    assert shown.strip() == summary.PAGES[page].format(**known)
