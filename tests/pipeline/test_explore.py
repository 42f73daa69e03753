"""explore: the page of a data set with one of everything, as the command writes it."""

import csv
import json
import re

import numpy as np
import pytest
import soundfile

HOSTILE = "<script>alert(1)</script>"
CLASSES = ("Bathtub_(filling_or_washing)", HOSTILE, "Bark & 'Meow'", "$x_1$ 50%")
SR = 44100


def tone(hz, seconds, amplitude=0.3):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * SR)) / SR)).astype("f4")


def write_data(root):
    """Four classes, ordinary clips, and one clip for each flag."""
    clips, rng = {}, np.random.default_rng(0)
    for i in range(24):
        y = tone(200 * (1 + i), 0.4 + 0.1 * (i % 5)) + 0.01 * rng.standard_normal(1).astype("f4")
        clips[f"clip{i:02}.wav"] = (y, [CLASSES[i % 4], *([CLASSES[(i + 1) % 4]] * (i % 6 == 0))])
    clips["silent.wav"] = (np.zeros(SR, "f4"), [CLASSES[0]])
    clips["clipped.wav"] = (np.clip(tone(500, 0.5, 3), -1, 1), [CLASSES[1]])
    clips["short.wav"] = (tone(900, 0.1), [CLASSES[2]])
    clips["<b>copy.wav"] = (clips["clip01.wav"][0], [CLASSES[3]])
    root.mkdir()
    for name, (y, _) in clips.items():
        soundfile.write(root / name, y, SR, subtype="PCM_16")
    with open(root / "train.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["fname", "labels"])
        writer.writerows([name, ",".join(labels)] for name, (_, labels) in clips.items())
    return clips


@pytest.fixture(scope="module")
def explored(tmp_path_factory, call_stage):
    """The page, and how the command ended."""
    root = tmp_path_factory.mktemp("explore")
    clips = write_data(root / "data")
    prepare = call_stage("prepare", "--data", root / "data", "--out", root / "p", "--folds", 2)
    assert prepare.code == 0
    assert call_stage("extract", "--data", root / "p", "--out", root / "s", "--jobs", 1).code == 0
    flags = ("--data", root / "p", "--stores", root / "s", "--seconds", 1, "--examples", 2)
    ended = call_stage("explore", *flags, "--out", root / "page.html")
    again = call_stage("explore", *flags, "--out", root / "again.html")
    assert ended.code == again.code == 0
    return root, clips, ended


def data_of(html, name):
    part = html[html.index(f'<div class="table" id="{name}">'):]
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', part)[1])["rows"]


def test_the_command_says_what_it_wrote(explored):
    root, clips, ended = explored
    assert f"explore: {len(clips)} clips, 5 of them suspicious" in ended.out
    assert f"Wrote {root / 'page.html'}" in ended.out


def test_the_same_data_give_the_same_bytes(explored):
    root, *_ = explored
    assert (root / "page.html").read_bytes() == (root / "again.html").read_bytes()


def test_the_numbers_are_those_of_the_data(explored):
    root, clips, _ = explored
    html = (root / "page.html").read_text(encoding="utf-8")
    rows = {row[0]: row[1:] for row in data_of(html, "classes-table")}
    for name in CLASSES:
        assert rows[name] == [sum(name in labels for _, labels in clips.values())] * 2
    sets = {row[0]: row[2] for row in data_of(html, "label-sets-table")}
    expected = {", ".join(sorted(labels)) for _, labels in clips.values()}
    assert set(sets) == expected
    assert sum(sets.values()) == len(clips)
    lengths = [row[3] for row in data_of(html, "longest-clips")]
    assert lengths == sorted((round(len(y) / SR, 2) for y, _ in clips.values()), reverse=True)[:10]


def test_suspicious_clips_come_first_with_their_flags(explored):
    html = (explored[0] / "page.html").read_text(encoding="utf-8")
    rows = data_of(html, "clips-table")
    name = [row[0] if isinstance(row[0], str) else row[0][0] for row in rows]
    flags = dict(zip(name, (row[3] for row in rows), strict=True))
    assert {k: v for k, v in flags.items() if v} == {
        "<b>copy.wav": "duplicate with other labels", "clip01.wav": "duplicate with other labels",
        "silent.wav": "silent", "clipped.wav": "clipped", "short.wav": "very short",
    }
    assert set(name[:5]) == {k for k, v in flags.items() if v}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_is_readable_for_everyone(explored, open_page, axe_violations, width, scheme):
    page = open_page(explored[0] / "page.html", width=width, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert axe_violations(page) == []
    # Nothing but what scrolls by itself is wider than the screen.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert dark == (scheme == "dark")


def test_pictures_are_there_and_players_play(explored, open_page):
    page = open_page(explored[0] / "page.html")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    page.wait_for_function("[...document.querySelectorAll('audio')].every(a => a.readyState >= 1)")
    durations = page.evaluate("[...document.querySelectorAll('audio')].map(a => a.duration)")
    assert len(durations) >= 12
    assert all(0 < seconds < 1.2 for seconds in durations)
    page.evaluate("document.querySelector('.card audio').play()")
    page.wait_for_function("document.querySelector('.card audio').currentTime > 0")
    assert page.evaluate("""[...document.querySelectorAll('main svg')].every(
        each => each.getBoundingClientRect().height > 50 && each.childElementCount > 1)""")
    assert page.evaluate("""Promise.all([...document.querySelectorAll('svg image')].map(each => {
        const image = new Image();
        image.src = each.href.baseVal;
        return image.decode().then(() => image.naturalWidth > 1);
    })).then(all => all.length > 20 && all.every(Boolean))""")


def test_a_link_to_a_card_opens_its_class(explored, open_page):
    page = open_page(explored[0] / "page.html")
    page.evaluate("""location.hash = [...document.querySelectorAll('details')].at(-1)
        .querySelector('.card').id""")
    page.wait_for_function("[...document.querySelectorAll('details')].at(-1).open")


def test_without_stores_the_page_has_what_is_known(explored, call_stage, tmp_path):
    root, clips, _ = explored
    ended = call_stage("explore", "--data", root / "p", "--stores", tmp_path / "none",
                       "--out", tmp_path / "page.html")
    assert ended.code == 0
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "No store was found" in html
    assert "levels were not measured" in html
    assert len(data_of(html, "clips-table")) == len(clips)


def test_stores_of_other_clips_are_an_error(explored, call_stage, tmp_path, data_set, extract):
    extract(data_set.fill(2).prepare(), tmp_path / "other")
    ended = call_stage("explore", "--data", explored[0] / "p", "--stores", tmp_path / "other",
                       "--out", tmp_path / "page.html")
    assert ended.code == 2
    assert "holds none of the clips" in ended.err
    assert not (tmp_path / "page.html").exists()


def test_a_folder_that_was_not_prepared_is_an_error(call_stage, tmp_path):
    ended = call_stage("explore", "--data", tmp_path, "--stores", tmp_path, "--out", tmp_path / "x")
    assert ended.code == 2
    assert "pipeline.prepare" in ended.err
