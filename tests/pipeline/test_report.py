"""report: the page on models and the table of label errors, as the command writes them."""

import csv
import html
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import report as report_stage
from pipeline.dataset.tables import write_labels
from pipeline.diagnostics.evaluated_runs import measure_run
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import load, save, select

HOSTILE = "<script>alert(1)</script>"
CLASSES = ("Bathtub_(filling_or_washing)", HOSTILE, "Bark & 'Meow'", "$x_1$ 50%", "Never heard")
SMALL = {"n_curated": 40, "n_noisy": 18, "n_test": 12}


def flags(data, *more):
    reports = data.root / "reports"
    return ("--data", data.root / "prepared", "--runs-dir", data.root / "runs",
            "--stores", data.root / "stores", "--out", reports / "report.html",
            "--label-errors", reports / "label_errors.csv", "--resamples", 50, "--clips", 4,
            "--jobs", 1, *more)


def text_of(page):
    """What a reader sees, without the data of the tables."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def table_of(page, name):
    data = re.search(rf'id="{name}">.*?<script type="application/json">(.*?)</script>', page,
                     re.DOTALL)
    return json.loads(data[1])["rows"]


@pytest.fixture(scope="module")
def full(scored_data, call_stage):
    """A data set with audio, stores, two runs and their ensemble, and hostile names."""
    data = scored_data(CLASSES, **SMALL).write_audio()
    ended = call_stage("extract", "--data", data.root / "prepared", "--out", data.root / "stores",
                       "--jobs", 1)
    assert ended.code == 0, ended.err
    return (data.add_run("mfcc", strength=0.8).add_run("logmel", seed=1, strength=1.2)
            .add_ensemble("mfcc", "logmel"))


@pytest.fixture(scope="module")
def report(full, call_stage):
    """The default page of it: the stage's end, the file, and its text."""
    ended = call_stage("report", *flags(full))
    assert ended.code == 0, ended.err
    path = full.root / "reports" / "report.html"
    return ended, path, path.read_text(encoding="utf-8")


def test_the_ensemble_and_its_members_are_shown(report):
    ended, path, page = report
    assert "report: ensemble, mfcc, logmel; 12 clips to hear" in ended.out
    assert f"Wrote {path}" in ended.out
    assert re.findall(r'<section id="([^"]+)"', page) == [
        "scores", "gains", "classes", "curves", "confusions", "calibration", "worst-clips",
        "label-errors"]


def test_the_scores_are_those_of_evaluate(full, report):
    rows = table_of(report[2], "scores-table")
    assert len(rows) == 12
    names = {"out of fold": "oof", "test": "test", "public test": "public",
             "private test": "private"}
    measured = {run: measure_run(RunFolder(full.root / "runs", run), full.labels, seed=0,
                                 resamples=50) for run in ("ensemble", "mfcc", "logmel")}
    for run, clips, *values in rows:
        expected = measured[run][names[clips]].summary
        assert values == pytest.approx([expected[key] for key in (
            "clips", "lwlrap", "lwlrap_low", "lwlrap_high", "mean_average_precision")], abs=6e-4)


def test_the_worst_clips_come_first(report):
    rows = table_of(report[2], "worst-table")
    assert len(rows) == 40
    values = [row[3] for row in rows]
    assert values == sorted(values)
    linked = [row[0] for row in rows if isinstance(row[0], list)]
    assert linked == [row[0] for row in rows[:4]]
    for _, anchor in linked:
        assert f'<article class="card" id="{anchor[1:]}">' in report[2]


def test_the_table_of_label_errors_is_the_files(full, report):
    with open(full.root / "reports" / "label_errors.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    shown = table_of(report[2], "suspects-table")
    assert len(rows) == len(shown) > 0
    assert f"({len(rows)} suspicious clips)" in report[0].out
    by_clip = {row["clip_id"]: row for row in rows}
    for clip, split, labels, suggested, _, confidence in shown:
        row = by_clip[clip if isinstance(clip, str) else clip[0]]
        assert (row["split"], row["labels"].replace(",", ", ")) == (split, labels)
        assert row["suggested_labels"].replace(",", ", ") == suggested
        assert float(row["score"]) == pytest.approx(confidence, abs=6e-4)
    assert {row["split"] for row in rows} == {"curated", "noisy"}
    assert '<a href="label_errors.csv">' in report[2]


def test_it_says_how_the_scores_came_about(report):
    text = text_of(report[2])
    for words in ("epoch of each fold was chosen on the same clips",
                  "95 % percentile bootstrap intervals over clips (50 resamples)",
                  "Without a labelled clip, and so without a value: Never heard"):
        assert words in text


def test_the_same_input_gives_the_same_bytes(full, report, call_stage):
    again = full.root / "reports" / "again.html"
    assert call_stage("report", *flags(full, "--out", again)).code == 0
    assert again.read_text(encoding="utf-8") == report[2]


def test_hostile_names_are_text(report):
    page = report[2]
    assert HOSTILE not in page
    assert HOSTILE in text_of(page)
    assert "Bathtub_(filling_or_washing)" in page
    assert "$x_1$ 50%" in text_of(page)


def test_corrections_are_made_in_a_copy_that_dvc_knows(report):
    text = text_of(report[2])
    assert "python -m pipeline.prepare --relabel corrections.csv" in text
    assert "--relabel reports" not in text
    for words in ("prepare.relabel", "vars: relabel", "prepares without the corrections"):
        assert words in text
        assert words in re.sub(r"\s+", " ", report_stage.__doc__)


# ---- in the browser


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_is_accessible_and_fits(report, open_page, axe_violations, width, scheme):
    page = open_page(report[1], width=width, scheme=scheme)
    assert axe_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("section").count() == 8
    # Figures and pictures are there, and no id twice.
    assert page.evaluate("[...document.querySelectorAll('figure svg')].every("
                         "each => each.getBoundingClientRect().height > 50)")
    assert page.evaluate("(() => { const ids = [...document.querySelectorAll('[id]')]"
                         ".map(each => each.id); return ids.length - new Set(ids).size })()") == 0


def test_tables_sort_and_filter(report, open_page):
    page = open_page(report[1])
    cells = page.locator("#worst-table tbody td:first-child")
    button = page.locator("#worst-table").get_by_role("button", name="Clip")
    button.click()
    assert cells.first.inner_text() == "c000.wav"
    button.click()
    assert cells.first.inner_text() == "c039.wav"
    page.locator("#worst-table").get_by_label("Labels").select_option(HOSTILE)
    labels = page.locator("#worst-table tbody td:nth-child(2)").all_inner_texts()
    assert labels
    assert all(HOSTILE in each for each in labels)


def test_players_have_a_duration_and_play(report, open_page):
    page = open_page(report[1])
    page.wait_for_function("[...document.querySelectorAll('audio')].every(a => a.readyState >= 1)")
    durations = page.evaluate("[...document.querySelectorAll('audio')].map(a => a.duration)")
    assert len(durations) == 12
    assert all(0.2 < each < 0.5 for each in durations)
    page.evaluate("document.querySelector('#worst-clips audio').play()")
    page.wait_for_function("document.querySelector('#worst-clips audio').currentTime > 0")


def test_a_link_opens_the_card_that_it_leads_to(report, open_page):
    page = open_page(report[1])
    assert not page.locator("#worst-3").is_visible()
    page.locator("#worst-table a[href='#worst-3']").click()
    page.wait_for_selector("#worst-3", state="visible")


# ---- two runs


def test_two_named_runs_are_compared(full, call_stage, open_page):
    out = full.root / "pair" / "report.html"
    ended = call_stage("report", *flags(full, "--runs", "mfcc", "logmel", "--out", out))
    assert ended.code == 0, ended.err
    page = out.read_text(encoding="utf-8")
    text = text_of(page)
    assert "logmel and mfcc" in text
    assert "../reports/label_errors.csv" in page
    rows = table_of(page, "clip-differences-table")
    gaps = [abs(row[-1]) for row in rows]
    assert gaps == sorted(gaps, reverse=True)
    assert all(row[-1] == pytest.approx(row[-2] - row[-3], abs=2e-3) for row in rows)
    scores = {row[0]: row[3] for row in table_of(page, "scores-table") if row[1] == "out of fold"}
    gain = float(re.search(r"logmel less that of mfcc is ([+-][\d.]+)", text)[1])
    assert gain == pytest.approx(scores["logmel"] - scores["mfcc"], abs=2e-4)
    browser = open_page(out)
    assert browser.locator("#differences .card").count() == 4


# ---- runs of different clips


def keep_fold_0(data, name):
    """Make a run look like one of `--folds 1`."""
    data.write_facts(name, kind="train", folds=[0])


def make_single(data, name):
    """Make a run look like one that was trained on the clips with one label alone."""
    for k in data.folds:
        path = data.root / f"runs/{name}/folds/{k}/oof.npz"
        scores = load(path, made_by="")
        ids = [c for c in scores.clip_ids if len(data.labels[c].labels) == 1]
        save(path, select(scores, ids, scores.classes))
    data.write_facts(name, kind="train", folds=list(data.folds), label_mode="single")


def test_runs_of_different_clips_are_not_called_comparable(scored_data, call_stage):
    data = scored_data(**SMALL).add_run("mfcc").add_run("logmel", seed=1)
    assert "The runs are measured on the same clips" in text_of(
        page_of(data, call_stage, "--runs", "mfcc", "logmel"))
    keep_fold_0(data, "mfcc")
    page = page_of(data, call_stage, "--runs", "mfcc", "logmel")
    text = text_of(page)
    assert "different clips, out of fold: mfcc 20, logmel 40; 20 in common" in text
    for untrue in ("measured on the same clips", "every curated clip", "different clips, test"):
        assert untrue not in text.replace("both runs are measured on the same resampled clips", "")
    rows = table_of(page, "per-class-table")
    labels = [label for label in data.labels.values() if label.split == "curated"]
    for name, n_mfcc, _, _, _, n_logmel, *_ in rows:
        having = [label for label in labels if name in label.labels]
        assert (n_mfcc, n_logmel) == (sum(label.fold == 0 for label in having), len(having))


def test_runs_of_one_label_and_of_several_are_told_apart(scored_data, call_stage):
    data = scored_data(**SMALL).add_run("mfcc").add_run("logmel", seed=1)
    make_single(data, "mfcc")
    text = text_of(page_of(data, call_stage, "--runs", "mfcc", "logmel"))
    assert "one label per clip (mfcc), several labels per clip (logmel)" in text
    assert "Of mfcc, the figure compares the highest score of each clip" in text
    assert "how often it is right (32 clips)" in text
    assert "with the labels (200 pairs)" in text
    assert "A decision of logmel is a pair of clip and class" in text


def write_changed_labels(data, change):
    """Prepare the data again: `change` gives a clip's new labels, None to drop it."""
    changed = [(label, change(label)) for label in data.labels.values()]
    write_labels(data.root / "prepared", [
        replace(label, labels=names) for label, names in changed if names is not None])


def test_clips_dropped_since_are_left_out(scored_data, call_stage):
    data = scored_data(**SMALL).add_run("mfcc").add_run("logmel").add_ensemble("mfcc", "logmel")
    write_changed_labels(data, lambda label: None if label.clip_id in ("c003.wav", "n001.wav")
                         else label.labels)
    ended = call_stage("report", *flags(data))
    assert ended.code == 0, ended.err
    page = (data.root / "reports" / "report.html").read_text(encoding="utf-8")
    for name in ("ensemble", "mfcc", "logmel"):
        note = (f"{name} has out-of-fold scores of 1 clip without labels in labels.csv, left out "
                "here: c003.wav")
        assert note in ended.out
        assert note in text_of(page)
    assert {row[2] for row in table_of(page, "scores-table") if row[1] == "out of fold"} == {39}


def test_a_run_whose_clips_are_all_dropped_is_refused(scored_data, call_stage):
    data = scored_data(**SMALL).add_run("mfcc")
    write_changed_labels(data, lambda label: None if label.split == "curated" else label.labels)
    ended = call_stage("report", *flags(data, "--runs", "mfcc"))
    assert ended.code == 2
    assert "no labels for 40 clips that have scores" in ended.err
    assert not (data.root / "reports").exists()


def test_clips_corrected_to_several_labels_are_left_out_of_single_runs(scored_data, call_stage):
    data = scored_data(**SMALL, label_mode="single").add_run("mfcc")
    write_changed_labels(data, lambda label: data.classes[:2] if label.clip_id == "c003.wav"
                         else label.labels)
    text = text_of(page_of(data, call_stage, "--runs", "mfcc"))
    assert "one label per clip; clips with several are left out: 1 out of fold" in text


@pytest.mark.parametrize(("with_test", "counts"), [
    (True, "8 out of fold, 3 test"), (False, "8 out of fold")])
def test_only_clips_of_measured_sets_count_as_left_out(scored_data, call_stage, with_test, counts):
    data = scored_data(**SMALL).add_run("mfcc", test=with_test)
    make_single(data, "mfcc")
    text = text_of(page_of(data, call_stage, "--runs", "mfcc"))
    several = [label for label in data.labels.values() if len(label.labels) > 1]
    assert sum(label.split == "curated" for label in several) == 8
    assert sum(label.split == "test" for label in several) == 3
    assert f"clips with several are left out: {counts}." in text


# ---- what is missing


def page_of(data, call_stage, *more):
    ended = call_stage("report", *flags(data, *more))
    assert ended.code == 0, ended.err
    return (data.root / "reports" / "report.html").read_text(encoding="utf-8")


def test_without_audio_and_stores_the_cards_say_so(scored_data, call_stage):
    data = scored_data(**SMALL).add_run("mfcc")
    page = page_of(data, call_stage, "--runs", "mfcc")
    assert "cannot be heard" in text_of(page)
    assert "<audio" not in page


def test_a_run_of_one_label_per_clip_and_a_bad_clip(scored_data, call_stage):
    data = scored_data(**SMALL, label_mode="single").add_run("mfcc")
    path = data.root / "runs/mfcc/folds/0/oof.npz"
    scores = load(path, made_by="")
    save(path, select(scores, scores.clip_ids[1:], scores.classes))
    page = page_of(data, call_stage, "--runs", "mfcc")
    text = text_of(page)
    assert f"1 labelled clips have no scores and are left out: {scores.clip_ids[0]}" in text
    assert "predicted instead" in text
    assert "how often it is right" in text
    assert "Accuracy" in text
    rows = table_of(page, "confusions-table")
    oof = [load(data.root / f"runs/mfcc/folds/{k}/oof.npz", made_by="") for k in (0, 1)]
    wrong = sum(np.argmax(values) != np.argmax(data.heard[clip]) for scores in oof
                for clip, values in zip(scores.clip_ids, scores.values, strict=True))
    assert sum(row[2] for row in rows) == wrong


@pytest.mark.parametrize(("options", "message"), [
    ({"test": False}, "There are no scores of test clips with known labels"),
    ({"noisy": False}, "mfcc has no scores of the noisy clips. `python -m pipeline.predict"),
    ({"settings": {"noisy": True}}, "mfcc was trained on the noisy clips"),
])
def test_a_run_without_some_scores(scored_data, call_stage, options, message):
    data = scored_data(**SMALL).add_run("mfcc", **options)
    page = page_of(data, call_stage, "--runs", "mfcc")
    assert message in text_of(page)
    splits = {row[1] for row in table_of(page, "suspects-table")}
    assert splits <= ({"curated", "noisy"} if "test" in options else {"curated"})


def test_an_ensemble_of_ranks_has_no_calibration(scored_data, call_stage):
    data = scored_data(**SMALL).add_run("mfcc").add_run("logmel", seed=1)
    data.add_ensemble("mfcc", "logmel", method="rank")
    text = text_of(page_of(data, call_stage, "--runs", "ensemble"))
    assert "ensemble is left out: its scores are ranks or stacked scores" in text
    assert "geometric mean of mfcc, logmel" in text
    assert "Training curves" not in text


@pytest.mark.parametrize("method", ["geometric", "rank"])
def test_a_deleted_member_is_named(scored_data, call_stage, method):
    data = scored_data(**SMALL).add_run("mfcc").add_run("logmel", seed=1)
    data.add_ensemble("mfcc", "logmel", method=method)
    shutil.rmtree(data.root / "runs" / "logmel")
    ended = call_stage("report", *flags(data, "--runs", "ensemble"))
    assert ended.code == 0, ended.err
    assert "made of mfcc, logmel, of which logmel is not there any more" in ended.out
    page = (data.root / "reports" / "report.html").read_text(encoding="utf-8")
    text = text_of(page)
    assert "logmel, a run that ensemble is made of, is not there any more" in text
    assert ("geometric mean of mfcc." in text) == (method == "rank")
    assert {row[1] for row in table_of(page, "suspects-table")} == {"curated"}
    assert 'id="gains"' not in page


def test_ranks_of_deleted_members_alone(scored_data, call_stage):
    data = scored_data(**SMALL).add_run("mfcc").add_run("logmel", seed=1)
    data.add_ensemble("mfcc", "logmel", method="rank")
    for name in ("mfcc", "logmel"):
        shutil.rmtree(data.root / "runs" / name)
    text = text_of(page_of(data, call_stage, "--runs", "ensemble"))
    assert "none of the runs that it is made of is there any more" in text


def test_a_missing_file_of_noisy_scores_is_named(scored_data, call_stage):
    data = scored_data(**SMALL).add_run("mfcc")
    path = data.root / "runs/mfcc/noisy/1.npz"
    path.unlink()
    text = text_of(page_of(data, call_stage, "--runs", "mfcc"))
    assert f"no scores of the noisy clips of every fold: {path} is missing" in text


def test_nothing_confused_and_nothing_suspicious(scored_data, call_stage):
    data = scored_data(**SMALL).add_run("mfcc", strength=60)
    for k in (0, 1):
        path = data.root / f"runs/mfcc/noisy/{k}.npz"
        scores = load(path, made_by="")
        right = [c for c in scores.clip_ids if data.labels[c].labels == tuple(
            data.classes[i] for i in np.flatnonzero(data.heard[c]))]
        save(path, select(scores, right, scores.classes))
    text = text_of(page_of(data, call_stage, "--runs", "mfcc"))
    assert "Nothing is confused" in text
    with open(data.root / "reports" / "label_errors.csv", encoding="utf-8") as file:
        assert len(file.readlines()) == 1


# ---- errors


@pytest.mark.parametrize(("more", "message"), [
    (("--runs", "mfc"), "did you mean mfcc?"),
    (("--runs", "mfcc", "--data", Path("gone")), "no such file"),
    ((), "has none of the runs of"),
])
def test_what_is_not_there(scored_data, call_stage, more, message):
    data = scored_data(**SMALL)
    if more:
        data.add_run("mfcc")
    ended = call_stage("report", *flags(data), *more)
    assert ended.code == 2
    assert message in ended.err
    assert not (data.root / "reports").exists()


@pytest.mark.parametrize(("out", "table", "message"), [
    ("x.html", "x.html", "--out and --label-errors both name"),
    ("x.html", "../reports/x.html", "--out and --label-errors both name"),
    ("", "x.csv", "is a folder; needs the name of an HTML file"),
    ("x.html", "", "is a folder; needs the name of a CSV file"),
    ("taken/x.html", "x.csv", "taken is not a folder"),
    ("x.html", "taken", "not a table of label errors"),
])
def test_outputs_are_checked_before_the_work(scored_data, call_stage, out, table, message):
    data = scored_data(**SMALL).add_run("mfcc")
    reports = data.root / "reports"
    reports.mkdir()
    (reports / "taken").write_text("my notes\n", encoding="utf-8")
    # No such run: the outputs are checked first.
    ended = call_stage("report", *flags(data, "--runs", "gone", "--out", reports / out,
                                        "--label-errors", reports / table))
    assert ended.code == 2
    assert message in ended.err
    assert [each.name for each in reports.iterdir()] == ["taken"]


def test_decisions_and_other_files_are_not_overwritten(scored_data, call_stage):
    data = scored_data(**SMALL).add_run("mfcc")
    page_of(data, call_stage, "--runs", "mfcc")
    path = data.root / "reports" / "label_errors.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1].rsplit(",", 2)[0] + ",drop,"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ended = call_stage("report", *flags(data, "--runs", "mfcc"))
    assert "with 1 earlier decisions" in ended.out
    assert ",drop," in path.read_text(encoding="utf-8")
    path.write_text("my notes\n", encoding="utf-8")
    ended = call_stage("report", *flags(data, "--runs", "mfcc"))
    assert ended.code == 2
    assert "not a table of label errors" in ended.err
    assert path.read_text(encoding="utf-8") == "my notes\n"
