"""The report in a browser: search, sorting, filters, theme, keys, and nothing that obeys a text."""

import pytest
from playwright.sync_api import expect

from lora_lightning.report.__main__ import report
from tests.browser import browser, open_page
from tests.report.runs import HOSTILE, TEXTS, scored_run


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    run = scored_run(folder / "a <b>&'name")
    other = scored_run(folder / "other", [(c, "Other .", 1 - s) for c, _, s in TEXTS])
    return report([f"run={run}"]), report([f"run={other}", f"against={run}"])


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture
def page(chromium, pages):
    page, errors = open_page(chromium, pages[0])
    yield page
    assert errors == []
    page.close()


def texts(page):
    return page.locator("article .text").all_text_contents()


def test_texts_names_and_signatures_are_shown_and_never_obeyed(page):
    assert page.evaluate("window.taken") is None
    assert TEXTS[2][1] in texts(page)
    assert page.locator("main img, main script[src]").count() == 0
    assert HOSTILE in page.text_content("main")


def test_predictions_are_searched_sorted_and_filtered(page):
    assert page.text_content("#found") == "63 of 63 predictions"
    assert len(texts(page)) == 50
    page.click("#more")
    assert len(texts(page)) == 63
    page.fill("#search", "CHILDREN pub")
    assert texts(page) == [TEXTS[1][1]]
    page.click("button[type=reset]")
    expect(page.locator("article")).to_have_count(50)
    page.select_option("#sort", label="bleu, worst first")
    assert texts(page)[0] == TEXTS[2][1]
    page.select_option("#sort", label="ter, best first")
    assert texts(page)[0] == TEXTS[1][1]
    page.select_option("#category", "first")
    assert len(texts(page)) == 2
    page.select_option("#part", "area")
    assert texts(page) == [TEXTS[0][1]]
    page.click("button[type=reset]")
    expect(page.locator("article")).to_have_count(50)
    page.select_option("#seen", "false")
    assert texts(page) == [TEXTS[2][1]]
    page.select_option("#seen", "")
    page.select_option("#count", "3")
    assert texts(page) == [TEXTS[2][1]]
    page.select_option("#count", "")
    page.fill("#longest", "6")
    assert page.text_content("#found") == "60 of 63 predictions"
    page.check("#errors")
    page.fill("#longest", "")
    page.fill("#search", "aromi")
    assert len(texts(page)) == 2


def test_errors_of_slots_are_marked_in_the_text(page):
    marks = page.locator("article mark.error")
    assert marks.first.text_content() == "city centre"
    assert marks.first.get_attribute("title") == "wrong, asked was area[riverside]"
    assert page.locator("article .remark").first.text_content() == (
        "wrong area[riverside->city centre]"
    )


def test_everything_is_reached_by_the_keyboard(page):
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("j zizzi")
    assert page.input_value("#search") == "j zizzi"
    page.fill("#search", "")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert "Aromi is a pub" in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("k")
    assert "city centre" in page.evaluate("document.activeElement.textContent")


def test_the_theme_is_the_systems_until_it_is_chosen(chromium, pages):
    page, errors = open_page(chromium, pages[0], color_scheme="dark")

    def background():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    dark = background()
    page.click("#theme")
    assert page.text_content("#theme") == "theme: light"
    assert background() == "rgb(255, 255, 255)" != dark
    page.keyboard.press("t")
    assert background() == dark
    assert errors == []
    page.close()


def test_curves_are_drawn_and_show_the_values_under_the_pointer(page):
    graphs = page.locator("#graphs .uplot")
    assert graphs.count() >= 2
    box = graphs.first.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    values = graphs.first.locator(".u-legend .u-value").all_text_contents()
    assert any(value.strip("-") for value in values)


def test_a_second_run_stands_beside_the_first(chromium, pages):
    page, errors = open_page(chromium, pages[1])
    assert (
        "runs/finished: Aromi is in the city centre ."
        in page.locator("article").first.text_content()
    )
    page.select_option("#sort", index=page.locator("#sort option").count() - 4)
    assert page.locator("article").first.locator(".context").text_content().startswith("2 ")
    assert errors == []
    page.close()
