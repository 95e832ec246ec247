"""The scorers' file formats: writing them as the reference does, reading them from elsewhere."""

from collections.abc import Sequence
from pathlib import Path

from lora_lightning.errors import InputError
from lora_lightning.files import atomic_text, has_byte_order_mark, read_json, read_lines


def write_lines(path: Path, texts: Sequence[str]) -> None:
    """Write one text a line.

    As in the reference, a line break inside a text is not escaped and splits its line.
    """
    with atomic_text(path) as file:
        file.writelines(f"{text}\n" for text in texts)


def write_reference_groups(path: Path, references: Sequence[Sequence[str]]) -> None:
    """Write the E2E format: a group's references on lines, a blank line after each group."""
    with atomic_text(path) as file:
        for group in references:
            file.writelines(f"{text}\n" for text in group)
            file.write("\n")


def write_reference_files(
    folder: Path, references: Sequence[Sequence[str]], count: int
) -> list[Path]:
    """Write the WebNLG and DART format: `reference0` …, line i of each belonging to group i.

    Args:
        folder: where the files go.
        references: the references of each group, at least one.
        count: number of files; a group with fewer references repeats its first, more are dropped.
    """
    paths = [folder / f"reference{index}" for index in range(count)]
    padded = [pad_references(group, count) for group in references]
    for index, path in enumerate(paths):
        write_lines(path, [group[index] for group in padded])
    return paths


def pad_references(references: Sequence[str], count: int) -> list[str]:
    """Return exactly `count` references: the first stands in for missing ones, more are dropped."""
    missing = max(0, count - len(references))
    return [*references[:count], *[references[0]] * missing]


def read_hypotheses(path: Path) -> list[str]:
    """Return the hypotheses of a file, one a line, divided at LF alone; empty lines are texts.

    Raises:
        InputError: as `read_lines`, or the file is empty.
    """
    lines = [line.removesuffix("\r") for line in read_lines(path)]
    if not lines:
        raise InputError(f"{path}: the file is empty; give one text a line")
    return lines


def read_reference_groups(path: Path) -> list[list[str]]:
    """Return the groups of a file in the E2E format, lines stripped.

    As in e2e-metrics, a file with a single group is taken for one reference a line.

    Raises:
        InputError: as `read_lines`, or the file is empty, or a group has no reference line.
    """
    groups: list[list[str]] = [[]]
    for number, line in enumerate(read_hypotheses(path), start=1):
        text = line.strip()
        if text:
            groups[-1].append(text)
        elif groups[-1]:
            groups.append([])
        else:
            place = "two blank lines make" if number > 1 else "a blank line first makes"
            raise InputError(
                f"{path}:{number}: {place} a group without a reference line; "
                "divide groups by one blank line"
            )
    if not groups[-1]:
        groups.pop()
    return [[text] for text in groups[0]] if len(groups) == 1 else groups


def read_reference_files(paths: Sequence[Path]) -> list[list[str]]:
    """Return each line's references from files whose lines belong together.

    Raises:
        InputError: as `read_hypotheses`, or there is no file, or their lengths differ.
    """
    if not paths:
        raise InputError("references: no file given; give [reference0,reference1,…]")
    columns = [read_hypotheses(path) for path in paths]
    for path, column in zip(paths, columns, strict=True):
        if len(column) != len(columns[0]):
            raise InputError(
                f"{path}: {len(column)} lines, but {paths[0]} has {len(columns[0])}; "
                "line i of every reference file belongs to hypothesis i"
            )
    return [list(group) for group in zip(*columns, strict=True)]


def mark_notes(paths: Sequence[Path]) -> list[str]:
    """Say of each file that begins with a byte order mark that its scorer would have kept it."""
    return [
        f"{path} begins with a byte order mark; it was left out, where the official scorer takes "
        "it for a part of the first word"
        for path in paths
        if has_byte_order_mark(path)
    ]


def read_seen_lines(path: Path, lines: int) -> set[int]:
    """Return the 0-based numbers of the lines whose category is a seen one, from a JSON list.

    Args:
        path: the file.
        lines: how many hypotheses there are.

    Raises:
        InputError: the file is no JSON list of distinct line numbers below `lines`.
    """
    numbers = read_json(path)
    if not isinstance(numbers, list):
        raise InputError(f"{path}: a JSON list of 0-based line numbers is expected")
    for number in numbers:
        if type(number) is not int or not 0 <= number < lines:
            raise InputError(
                f"{path}: {number!r} is no 0-based number of one of the {lines} hypothesis lines"
            )
    if len(set(numbers)) != len(numbers):
        raise InputError(f"{path}: a line number stands there twice")
    return set(numbers)
