"""Text from the user's files: UTF-8, with or without a mark, with the line ends that circulate."""

import codecs
import gzip

import pytest

from lora_lightning.errors import InputError
from lora_lightning.files import has_byte_order_mark, read_json, read_lines, read_text

MARK = codecs.BOM_UTF8


@pytest.fixture
def write(tmp_path):
    def write_file(content: bytes, name: str = "file"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write_file


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_byte_order_mark_is_no_part_of_a_text(write, pack):
    name = "file.gz" if pack is gzip.compress else "file"
    path = write(pack(MARK + '{"é": 1}\n'.encode()), name)
    assert has_byte_order_mark(path)
    assert read_text(path) == '{"é": 1}\n'
    assert read_lines(path) == ['{"é": 1}']
    assert read_json(path) == {"é": 1}


def test_only_the_mark_at_the_beginning_goes(write):
    assert read_text(write(MARK + MARK + b"a" + MARK)) == "\ufeffa\ufeff"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_other_unicode_encodings_are_named(write, encoding):
    with pytest.raises(InputError, match="file: UTF-16 or UTF-32, not UTF-8; save"):
        read_text(write("name : Aromi\nname : Zizzi\n".encode(encoding)))


def test_a_byte_behind_a_mark_that_is_no_utf8_is_named_by_its_line(write):
    with pytest.raises(InputError, match="file:2: not UTF-8"):
        read_text(write(MARK + b"a\n\xffb\nc"))


def test_lines_end_at_line_feeds_alone(write):
    lines = "a\x0cb\u2028c\x85d\x0be\r\n\nf \x00\n"
    assert read_lines(write(lines.encode())) == ["a\x0cb\u2028c\x85d\x0be\r", "", "f \x00"]


def test_carriage_returns_alone_end_no_lines(write):
    with pytest.raises(InputError, match="file: its lines end in CR alone; save"):
        read_lines(write(b"a\rb\r"))
