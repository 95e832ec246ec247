"""How decoded text becomes scored text, and how rows and predictions become groups."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.errors import InputError
from lora_lightning.evaluation.grouping import (
    Group,
    Prediction,
    group_rows,
    match_predictions,
)
from lora_lightning.evaluation.text import cut_text, lower_and_tokenise, tokenise


@dataclass
class Row:
    context: str
    completion: str
    seen: bool | None = None
    category: str | None = None


ROWS = [Row("a", "one"), Row("b", "two"), Row("a", "three")]


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        (" a b \n", "a b"),
        ("a<|endoftext|>b", "a"),
        ("a\n\nb<|endoftext|>", "a"),
        ("a\nb\n\nc", "a\nb"),
        ("<|endoftext|>a", ""),
        ("\n\na", ""),
        (" \n a", "a"),
    ],
)
def test_text_is_cut_at_the_end_mark_and_the_first_blank_line(text, cut):
    assert cut_text(text) == cut


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The Mill's £20-pub.", "The Mill ' s £ 20 - pub ."),
        ("café_noir  São\tJoão\n", "café_noir São João"),
        ("", ""),
        ("!!", "! !"),
        ("a\u00a0b", "a b"),
    ],
)
def test_tokens_are_divided_at_every_non_word_character(text, tokens):
    assert tokenise(text) == tokens


def test_lower_casing_comes_before_tokenising():
    # `İ` lower-cases to `i` and a combining dot, which is no word character.
    assert lower_and_tokenise("İst") == "i ̇ st"


@settings(deadline=None, max_examples=50)
@given(st.text())
def test_tokenising_twice_changes_nothing(text):
    assert tokenise(tokenise(text)) == tokenise(text)


def test_rows_group_by_equal_context_in_order_of_first_appearance():
    assert group_rows(ROWS) == [Group("a", (0, 2), ("one", "three")), Group("b", (1,), ("two",))]


def test_a_groups_category_is_its_first_rows():
    rows = [Row("a", "1", False), Row("b", "2", True), Row("a", "3", True)]
    assert [group.seen for group in group_rows(rows)] == [False, True]


@pytest.mark.parametrize("ids", [(1, 0), (0, 1), (2, 1)])
def test_predictions_are_matched_by_context_whatever_their_order_and_ids(ids):
    predictions = [Prediction(ids[0], "b", "of b"), Prediction(ids[1], "a", "of a")]
    assert match_predictions(group_rows(ROWS), predictions) == ["of a", "of b"]


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([(0, "a")], "1 of 2 contexts have no prediction, the first with id 1"),
        ([(0, "a"), (1, "b"), (7, "c")], "id 7 is no row"),
        ([(0, "a"), ("x", "b")], "id 'x' is no row"),
        ([(0, "a"), (1, "c")], "id 1 is for the context 'c', but that row has 'b'"),
        ([(0, "a"), (1, "b"), (1, "b")], "id 1 twice"),
        ([(0, "a"), (1, "b"), (2, "a")], "ids 0 and 2"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(predictions, message):
    with pytest.raises(InputError, match=message):
        match_predictions(group_rows(ROWS), [Prediction(*pair, "a text") for pair in predictions])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.booleans())))
def test_every_row_is_in_one_group_and_gives_a_reference(cells):
    rows = [Row(*cell) for cell in cells]
    groups = group_rows(rows)
    assert sorted(i for group in groups for i in group.row_ids) == list(range(len(rows)))
    assert sum(len(group.references) for group in groups) == len(rows)
