"""docs/rooms.svg shows the rooms, their floors and their imports as they are."""

import sys
from dataclasses import replace

import pytest

from docs import rooms as program
from docs.rooms import PICTURE, Rooms, draw, drawn_rooms, implied, read_rooms
from lora_lightning.errors import InputError


@pytest.fixture(scope="module")
def rooms():
    return read_rooms()


def test_the_picture_is_current(rooms):
    assert drawn_rooms(PICTURE) == rooms, "run make docs"


def test_every_arrow_leads_to_a_lower_floor(rooms):
    floor_of = {room: number for number, floor in enumerate(rooms.floors) for room in floor}
    assert [arrow for arrow in rooms.arrows if floor_of[arrow[0]] >= floor_of[arrow[1]]] == []


def test_a_picture_is_the_same_whenever_it_is_drawn(rooms, tmp_path):
    draw(rooms, tmp_path / "one.svg")
    draw(rooms, tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_a_picture_without_one_of_todays_arrows_is_an_error(rooms, monkeypatch, tmp_path):
    draw(replace(rooms, arrows=rooms.arrows[1:]), tmp_path / "old.svg")
    monkeypatch.setattr(program, "PICTURE", tmp_path / "old.svg")
    monkeypatch.setattr(sys, "argv", ["rooms", "--check"])
    with pytest.raises(InputError, match="make docs"):
        program.main()


def test_an_arrow_is_implied_by_a_longer_way():
    arrows = [["top", "middle"], ["middle", "low"], ["top", "low"]]
    assert implied(Rooms([["top"], ["middle"], ["low"]], arrows)) == {("top", "low")}


def test_a_room_without_a_column_is_named():
    with pytest.raises(InputError, match="attic"):
        draw(Rooms([["attic"]], []), PICTURE)


@pytest.mark.parametrize("content", ["", "<svg/>", "no picture"])
def test_a_file_that_shows_no_rooms_is_never_current(rooms, content, tmp_path):
    (tmp_path / "other.svg").write_text(content)
    with pytest.raises(InputError, match="make docs"):
        drawn_rooms(tmp_path / "other.svg")
