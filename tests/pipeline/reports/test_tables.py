"""Tables: what is in the page, and what the browser makes of it."""

import json
import re

import pytest
from markupsafe import Markup

from pipeline.reports.page import Section, write_page
from pipeline.reports.tables import Column, table

HOSTILE = "<script>alert(1)</script>"
COLUMNS = [Column("Clip"), Column("Labels", choose=True), Column("Length (s)", "number", 2)]


def data_of(html):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html)[1])


def test_rows_are_data_and_the_first_are_html():
    html = table("t", "Clips", COLUMNS, [("a", "Bark", 1.234), ("b", "Meow", None)], per_page=1)
    assert data_of(html)["rows"] == [["a", "Bark", 1.23], ["b", "Meow", None]]
    body = html[html.index("<tbody>"):html.index("</tbody>")]
    assert body.count("<tr>") == 1
    assert "1.23" in body
    assert "The first 1 of 2 rows" in html


def test_nan_is_an_empty_cell():
    html = table("t", "Clips", COLUMNS, [("a", "Bark", float("nan"))])
    assert data_of(html)["rows"] == [["a", "Bark", None]]
    assert "–" in html
    assert "nan" not in html.lower()


@pytest.mark.parametrize("text", [HOSTILE, "</script><b>", "<!--", "a\u2028b", '"&\'', "\ud800"])
def test_hostile_text_comes_back_as_it_was(text):
    html = table("t", text, COLUMNS, [(text, text, 1), ((text, "#x"), text, 2)])
    assert "<script>alert" not in html
    assert "<b>" not in html
    assert "<!--" not in html
    assert data_of(html)["rows"][0][0] == text
    assert data_of(html)["rows"][1][0] == [text, "#x"]


def test_values_to_choose_from_are_those_of_all_rows():
    rows = [("a", "Bark, Meow", 1), ("b", "Bark", 2), ("c", "", 3)]
    html = table("t", "Clips", COLUMNS, rows, per_page=1)
    assert re.findall(r"<option>(.*?)</option>", html) == ["Bark", "Meow"]


@pytest.fixture
def page(open_page, tmp_path):
    rows = [(f"{i:03}.wav", "Bark" if i % 3 else "Meow, " + HOSTILE, i * 1.5 if i else None)
            for i in range(100)]
    path = tmp_path / "page.html"
    write_page(path, "Tables " + HOSTILE, "Some.", [
        Section("s", "Clips & more", table("t", "Clips", COLUMNS, rows)),
        Section("x", "Nothing", Markup("<p>Nothing.</p>")),
    ])
    return open_page(path)


def shown(page, column=1):
    return page.locator(f"#t tbody td:nth-child({column})").all_inner_texts()


def test_a_table_sorts_filters_and_turns_pages(page):
    assert page.title() == "Tables " + HOSTILE
    status = page.locator("#t [role=status]")
    assert shown(page)[:2] == ["000.wav", "001.wav"]
    assert len(shown(page)) == 25
    assert status.inner_text() == "1 to 25 of 100"
    length = page.get_by_role("button", name="Length")
    length.click()
    assert shown(page)[0] == "099.wav"
    assert length.locator("..").get_attribute("aria-sort") == "descending"
    length.click()
    assert shown(page)[0] == "001.wav"  # 000.wav has no length: empty cells stay at the end
    page.get_by_role("button", name="Next").click()
    assert status.inner_text() == "26 to 50 of 100"
    page.get_by_label("Labels").select_option(HOSTILE)
    assert status.inner_text() == "1 to 25 of 34 (100 in all)"
    page.get_by_label("Search").fill("BARK 09")
    assert status.inner_text() == "no rows match (100 in all)"
    page.get_by_label("Labels").select_option("")
    assert status.inner_text() == "1 to 6 of 6 (100 in all)"


def test_a_table_works_by_keyboard(page):
    page.get_by_role("button", name="Clip").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert shown(page)[0] == "099.wav"


def test_the_first_rows_are_there_without_the_script(open_page, tmp_path):
    path = tmp_path / "page.html"
    write_page(path, "T", "", [Section("s", "S", table("t", "C", COLUMNS,
                                                       [(str(i), "", i) for i in range(99)]))])
    page = open_page(path, java_script_enabled=False)
    assert len(page.query_selector_all("#t tbody tr")) == 25
    assert page.locator("noscript").count() == 1
