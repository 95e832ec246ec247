"""Tables of texts as they circulate: delimiters, quotes, blank rows and ragged ones."""

import pytest

from lora_lightning.errors import InputError
from lora_lightning.tables import is_table, read_table


@pytest.fixture
def read(tmp_path):
    def read_content(content: str | bytes):
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [(row.line, row.cells) for row in read_table(path)]

    return read_content


@pytest.mark.parametrize("mark", ["\t", ",", ";"])
def test_the_first_row_says_what_divides_cells(read, mark):
    assert read(f"a{mark}b\n1{mark}2\n") == [(1, ["a", "b"]), (2, ["1", "2"])]


def test_commas_in_a_table_of_tabs_are_text(read):
    assert read("MR\tref\na[1], b[2]\tx, y\n")[1] == (2, ["a[1], b[2]", "x, y"])


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ('"a, ""b""",c', ['a, "b"', "c"]),
        ('a "b",c', ['a "b"', "c"]),
        ('"a" b,c', ["a b", "c"]),  # as e2e-metrics reads it
        ('"a\nb",c', ["a\nb", "c"]),
        ('"a\u2028b\x0c",c', ["a\u2028b\x0c", "c"]),
    ],
)
def test_quotes_surround_cells_or_are_text(read, row, cells):
    assert read(f"x,y\n{row}\n")[1] == (2, cells)


def test_a_mark_crlf_and_blank_rows_are_no_cells(read):
    content = b"\xef\xbb\xbfx,y\r\n\r\n1,2\r\n , \r\n\r\n"
    assert read(content) == [(1, ["x", "y"]), (3, ["1", "2"])]


def test_an_empty_cell_at_the_end_is_a_cell_and_further_blank_ones_are_none(read):
    assert read("x\ty\t\n1\t\n2\t3\t\t\n") == [(1, ["x", "y"]), (2, ["1", ""]), (3, ["2", "3"])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "table.csv: the table is empty"),
        (" \n\n", "table.csv: the table is empty"),
        ("x,y\n1,2\n\n3\n", "table.csv:4: 1 cells, but the first row has 2"),
        ("x,y\n1,2,3\n", "table.csv:2: 3 cells, but the first row has 2"),
        ('x,y\n1,"2\n3,4\n', "table.csv:2: a quote opens here"),
        ('x\ty\n1\t"2\n', "table.csv:2: a quote opens here"),
        ('x,y\n"1","2\n"3","4"\n', "table.csv:2: a quote opens here"),
        ('x\ty\n1\t"2\n3\t"4\n', "table.csv:2: a quote opens here"),
        ('x\ty\n1\t"2\n3\t4"\n', "table.csv:2: a quote opens here"),
    ],
)
def test_what_is_no_table_is_named_by_its_line(read, content, message):
    with pytest.raises(InputError, match=message):
        read(content)


def test_tables_are_known_by_their_names(tmp_path):
    names = ["a.csv", "a.TSV", "a.tsv.gz", "a.txt", "csv"]
    assert [is_table(tmp_path / name) for name in names] == [True, True, True, False, False]
