import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import submit
from pipeline.dataset.tables import Dataset, write_dataset
from pipeline.runs.scores import Scores, save
from pipeline.runtime.errors import BadClipsError, UsageError
from pipeline.runtime.rows import read_rows
from pipeline.submitting import submission

ROOT = Path(__file__).parents[2]
CLASSES = ("Bark", "Rain", "Zither")
SAMPLE = "fname,Zither,Bark,Rain\nc.wav,0,0,0\na.wav,0,0,0\nb.wav,0,0,0\n"
SAMPLE_2018 = "fname,label\nc.wav,Rain Bark Zither\na.wav,Rain Bark\nb.wav,Rain\n"
VALUES = np.array([[0.1, 0.2, 1e-30], [0.3, 1 / 3, 0.25], [0.5, 0.5, 0.9]], np.float32)


def make(root, sample=SAMPLE):
    (root / "data").mkdir()
    (root / "data" / "sample_submission.csv").write_bytes(sample.encode())
    (root / "prepared").mkdir()
    write_dataset(root / "prepared", Dataset(root / "data", "fsdkaggle2019", CLASSES, "multi"))
    write_run(root, ("a.wav", "b.wav", "c.wav"), VALUES)
    return root


def write_run(root, clips, values):
    folder = root / "runs" / "both"
    save(folder / "oof.npz", Scores(("x",), CLASSES, np.zeros((1, 3), np.float32)))
    save(folder / "test.npz", Scores(clips, CLASSES, values))
    facts = {"kind": "ensemble", "classes": CLASSES, "label_mode": "multi"}
    (folder / "run.json").write_text(json.dumps(facts))


@pytest.fixture
def made_up(tmp_path):
    return make(tmp_path)


def settings(root, **changed):
    result = submit.Settings(runs_dir=root / "runs", run="both", data=root / "prepared",
                             sample=None, out=root / "submission.csv", top=0, fold=None,
                             check=None, allow_missing=0)
    return dataclasses.replace(result, **changed)


def command(root, *flags):
    return subprocess.run(
        [sys.executable, "-m", "pipeline.submit", "--runs-dir", root / "runs", "--run", "both",
         "--data", root / "prepared", "--out", root / "submission.csv", *flags],
        cwd=ROOT, capture_output=True, text=True,
    )


def sample_of(tmp_path, text):
    path = tmp_path / "sample.csv"
    path.write_bytes(text.encode())
    return submission.read_sample(path)


# ---- writing


def test_the_command_writes_what_the_sample_asks_for(made_up):
    done = command(made_up)
    assert (done.returncode, done.stderr) == (0, "")
    assert (made_up / "submission.csv").read_bytes() == (
        b"fname,Zither,Bark,Rain\n"
        b"c.wav,0.9,0.5,0.5\n"
        b"a.wav,1e-30,0.1,0.2\n"
        b"b.wav,0.25,0.3,0.33333334\n"
    )
    again = command(made_up, "--check", made_up / "submission.csv")
    assert again.returncode == 0
    assert "submission.csv is valid: 3 clips" in again.stdout


def test_what_is_written_reads_back_as_the_same_float32(made_up):
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(-20, 15, (3, 3))).astype(np.float32)
    write_run(made_up, ("c.wav", "a.wav", "b.wav"), values)
    submit.run(settings(made_up))
    rows = [cells for _, cells in read_rows(made_up / "submission.csv")]
    assert [row[0] for row in rows[1:]] == ["c.wav", "a.wav", "b.wav"]
    back = np.array([row[1:] for row in rows[1:]], dtype=np.float32)
    np.testing.assert_array_equal(back, values[:, [CLASSES.index(c) for c in rows[0][1:]]])


def test_the_2018_form_has_the_top_labels_best_first(tmp_path):
    make(tmp_path, SAMPLE_2018)
    done = command(tmp_path, "--top", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "submission.csv").read_text() == (
        "fname,label\nc.wav,Zither Bark\na.wav,Rain Bark\nb.wav,Rain Bark\n"  # c: Bark ties Rain
    )
    assert command(tmp_path, "--check", tmp_path / "submission.csv").returncode == 0


def test_a_trained_run_is_the_geometric_mean_of_its_folds(made_up):
    folder = made_up / "runs" / "mfcc"
    for k, scale in enumerate((0.25, 1.0)):
        save(folder / f"folds/{k}/oof.npz",
             Scores((f"x{k}",), CLASSES, np.zeros((1, 3), np.float32)))
        save(folder / f"test/{k}.npz",
             Scores(("a.wav", "b.wav", "c.wav"), CLASSES, scale * VALUES))
    facts = {"classes": CLASSES, "label_mode": "multi", "folds": [0, 1]}
    (folder / "run.json").write_text(json.dumps(facts))
    submit.run(settings(made_up, run="mfcc"))
    back = pd.read_csv(made_up / "submission.csv", index_col="fname").loc[["a.wav", "b.wav"]]
    np.testing.assert_allclose(back[list(CLASSES)], 0.5 * VALUES[:2], rtol=1e-6)


@pytest.mark.parametrize("dress", [
    lambda s: "\ufeff" + s, lambda s: s.replace("\n", "\r\n"), lambda s: s + "\n\n",
    lambda s: "\ufeff" + s.replace("\n", "\r\n").rstrip(),
])
def test_a_spreadsheets_sample_is_read_and_a_clean_file_written(tmp_path, dress):
    make(tmp_path, dress(SAMPLE))
    submit.run(settings(tmp_path))
    result = (tmp_path / "submission.csv").read_bytes()
    assert result.startswith(b"fname,Zither,Bark,Rain\nc.wav,")
    assert b"\r" not in result


def test_a_class_that_the_run_does_not_know_ranks_last(tmp_path, capsys):
    make(tmp_path, "fname,Bark,Dog,Rain,Zither\na.wav,0,0,0,0\n")
    submit.run(settings(tmp_path))
    assert (tmp_path / "submission.csv").read_text().endswith("\na.wav,0.1,0,0.2,1e-30\n")
    out = capsys.readouterr().out
    assert "Columns that the run has no class for rank last: Dog" in out
    assert "2 clips with scores are not in the sample" in out


def test_a_class_that_the_run_does_not_know_ranks_last_below_negative_scores_too(tmp_path):
    sample = submission.Sample(tmp_path, ("Bark", "Dog"), ("a.wav", "b.wav"))
    values = np.array([[-0.5], [0.5]], np.float32)
    result = submission.rows_of_scores(sample, Scores(("a.wav", "b.wav"), ("Bark",), values))
    assert result[1:] == [["a.wav", "-0.5", "-0.5"], ["b.wav", "0.5", "0"]]


def test_missing_clips_are_listed_or_filled_with_the_class_means(made_up):
    write_run(made_up, ("a.wav", "c.wav"), VALUES[[0, 2]])
    done = command(made_up)
    assert done.returncode == 3
    assert "1 test clips have no scores: b.wav" in done.stdout
    assert "--allow-missing 1" in done.stderr
    assert not (made_up / "submission.csv").exists()
    assert command(made_up, "--allow-missing", "1").returncode == 0
    back = pd.read_csv(made_up / "submission.csv", index_col="fname")[list(CLASSES)]
    np.testing.assert_allclose(back.loc["b.wav"], VALUES[[0, 2]].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(back.loc["c.wav"], VALUES[2], rtol=1e-6)


def test_a_sample_of_other_clips_is_an_error_whatever_is_allowed(made_up):
    write_run(made_up, ("z.wav",), VALUES[:1])
    with pytest.raises(UsageError, match="Is it of this data set"):
        submit.run(settings(made_up, allow_missing=99))
    write_run(made_up, ("a.wav", "z.wav"), VALUES[:2])
    with pytest.raises(BadClipsError, match="2 test clips have no scores, 1 are allowed"):
        submit.run(settings(made_up, allow_missing=1))


def test_a_class_without_a_column_is_an_error(tmp_path):
    make(tmp_path, "fname,Bark,Dog\na.wav,0,0\n")
    with pytest.raises(UsageError, match="no column for 2 classes of the run: Rain, Zither"):
        submit.run(settings(tmp_path))


def test_a_2018_sample_has_no_columns_for_scores(tmp_path):
    make(tmp_path, SAMPLE_2018)
    with pytest.raises(UsageError, match="the form of the 2018 competition; use --top 3"):
        submit.run(settings(tmp_path, top=0))
    assert not (tmp_path / "submission.csv").exists()


def test_labels_are_written_for_a_2019_sample_too(made_up):
    done = command(made_up, "--top", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert (made_up / "submission.csv").read_text() == (
        "fname,label\nc.wav,Zither Bark\na.wav,Rain Bark\nb.wav,Rain Bark\n"
    )
    checking = settings(made_up, check=made_up / "submission.csv")
    submit.run(dataclasses.replace(checking, top=2))
    with pytest.raises(UsageError, match="2 labels; needs 1 to 1"):
        submit.run(dataclasses.replace(checking, top=1))
    with pytest.raises(UsageError, match=r"columns missing \(3\): Zither, Bark, Rain"):
        submit.run(checking)  # without --top the form is the sample's


def test_labels_are_classes_of_a_2019_samples_columns(tmp_path):
    make(tmp_path, "fname,Bark,Rain\na.wav,0,0\n")
    with pytest.raises(UsageError, match="no column for 1 classes of the run: Zither"):
        submit.run(settings(tmp_path, top=3))
    assert not (tmp_path / "submission.csv").exists()


# ---- one fold


@pytest.fixture
def trained(made_up):
    """A trained run of the folds 0 and 2."""
    folder = made_up / "runs" / "cnn"
    for fold, values in ((0, VALUES), (2, VALUES[::-1])):
        save(folder / "folds" / str(fold) / "oof.npz",
             Scores((f"x{fold}",), CLASSES, np.zeros((1, 3), np.float32)))
        save(folder / "test" / f"{fold}.npz", Scores(("a.wav", "b.wav", "c.wav"), CLASSES, values))
    facts = {"folds": [0, 2], "classes": CLASSES, "label_mode": "multi"}
    (folder / "run.json").write_text(json.dumps(facts))
    return made_up


def test_the_model_of_one_fold(trained):
    done = command(trained, "--run", "cnn", "--fold", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("3 clips, 3 columns, from cnn, fold 2\n")
    assert (trained / "submission.csv").read_text() == (
        "fname,Zither,Bark,Rain\nc.wav,1e-30,0.1,0.2\na.wav,0.9,0.5,0.5\n"
        "b.wav,0.25,0.3,0.33333334\n"
    )
    submit.run(settings(trained, run="cnn"))
    assert "c.wav,1e-30" not in (trained / "submission.csv").read_text()  # the mean of both


@pytest.mark.parametrize(("run", "fold", "message"), [
    ("cnn", 1, "--fold is 1; the folds of cnn: 0, 2"),
    ("both", 0, "--fold is 0; the folds of both: none, it is an ensemble"),
])
def test_a_fold_that_is_not_there(trained, run, fold, message):
    with pytest.raises(UsageError, match=message):
        submit.run(settings(trained, run=run, fold=fold))
    assert not (trained / "submission.csv").exists()


def test_a_name_with_a_space_is_no_2018_label(tmp_path):
    sample = sample_of(tmp_path, SAMPLE_2018)
    scores = Scores(("a.wav", "b.wav", "c.wav"), ("Bark", "Slow rain"), VALUES[:, :2])
    with pytest.raises(UsageError, match=r"separated by spaces, .*: Slow rain"):
        submission.rows_of_labels(sample, scores, 1)


def test_no_test_scores(made_up):
    (made_up / "runs" / "both" / "test.npz").unlink()
    with pytest.raises(UsageError, match=r"no test scores; .*pipeline.predict"):
        submit.run(settings(made_up))


# ---- samples


def test_a_sample_that_is_not_there(made_up):
    (made_up / "data" / "sample_submission.csv").unlink()
    with pytest.raises(UsageError, match=r"sample_submission.csv: no such file; .*--sample"):
        submit.run(settings(made_up))


def test_everything_wrong_with_a_sample_is_listed(tmp_path):
    with pytest.raises(UsageError) as caught:
        sample_of(tmp_path, "file,Bark,Bark\na.wav,0,0\na.wav,0,0\n,0,0\nb.wav,0\n")
    for part in ("sample.csv:1: the header begins 'file,Bark,Bark'", "columns twice: Bark",
                 "sample.csv:4: 3 cells from '' on", "sample.csv:5: 2 cells from 'b.wav' on",
                 "clips twice: a.wav"):
        assert part in str(caught.value)
    with pytest.raises(UsageError, match="a header and no test clips"):
        sample_of(tmp_path, "fname,Bark\n")
    with pytest.raises(UsageError, match="the header begins 'fname'"):
        sample_of(tmp_path, "fname\na.wav\n")


# ---- --check


def check(tmp_path, text, sample=SAMPLE, **options):
    path = tmp_path / "s.csv"
    path.write_text(text)
    submission.check("s.csv", read_rows(path), sample_of(tmp_path, sample), **options)


def test_the_sample_itself_is_sound(tmp_path):
    check(tmp_path, SAMPLE)
    check(tmp_path, SAMPLE_2018, SAMPLE_2018, classes=CLASSES)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("c.wav,0,0", "c.wav,nan,x", r"s.csv:2: needs finite numbers: Zither is 'nan', Bark is 'x'"),
    ("c.wav,0", "c.wav,inf", r"s.csv:2: needs finite numbers: Zither is 'inf'"),
    ("c.wav,0", "c.wav,1_0", r"Zither is '1_0'"),
    ("c.wav,0", "c.wav,", r"Zither is ''"),
    ("a.wav,0,0,0", "a.wav,0,0", r"s.csv:3: 3 cells; the header has 4"),
    ("a.wav", "c.wav", r"s.csv: clips missing \(1\): a.wav\ns.csv: clips twice \(1\): c.wav"),
    ("a.wav", "d.wav", r"clips that the sample does not have \(1\): d.wav"),
    ("Bark,Rain", "Rain,Bark", r"s.csv:1: columns in another order .* number 3 is 'Rain', there "
                               r"it is 'Bark'"),
    ("fname,Zither", "fname,Dog", r"columns missing \(1\): Zither\ns.csv:1: columns that the "
                                  r"sample does not have \(1\): Dog"),
    ("c.wav,0,0,0\na.wav,0,0,0", "a.wav,0,0,0\nc.wav,0,0,0", r"clips in another order .* number 1"),
    ("b.wav,0,0,0\n", "", r"clips missing \(1\): b.wav"),
])
def test_a_file_that_is_not_as_the_sample(tmp_path, old, new, message):
    assert old in SAMPLE
    with pytest.raises(UsageError, match=message):
        check(tmp_path, SAMPLE.replace(old, new, 1))


@pytest.mark.parametrize(("labels", "message"), [
    ("", "s.csv:2: 0 labels; needs 1 to 3"), ("Rain Bark Zither Rain", "4 labels; needs 1 to 3"),
    ("Rain Dog", "no class of the data set: Dog"), ("Rain Rain", "labels twice: Rain"),
])
def test_labels_that_are_not_sound(tmp_path, labels, message):
    text = SAMPLE_2018.replace("c.wav,Rain Bark Zither", f"c.wav,{labels}")
    with pytest.raises(UsageError, match=message):
        check(tmp_path, text, SAMPLE_2018, classes=CLASSES)


def test_a_file_of_the_2018_form_without_its_column(tmp_path):
    text = "\n".join(line.split(",")[0] for line in SAMPLE_2018.splitlines())
    with pytest.raises(UsageError, match=r"columns missing \(1\): label"):
        check(tmp_path, text, SAMPLE_2018, classes=CLASSES)


def test_the_check_lists_everything_up_to_a_point(made_up):
    clips = [f"{k:03}.wav" for k in range(80)]
    (made_up / "data" / "sample_submission.csv").write_text(
        "fname,Bark\n" + "".join(f"{c},0\n" for c in clips))
    (made_up / "mine.csv").write_text("fname,Bark\n" + "".join(f"{c},x\n" for c in clips))
    done = command(made_up, "--check", made_up / "mine.csv")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 51
    assert "mine.csv:2: needs finite numbers: Bark is 'x'" in done.stderr
    assert done.stderr.endswith("… 30 more\n")


def test_the_check_needs_a_file_and_nothing_but_the_sample(made_up):
    with pytest.raises(UsageError, match=r"gone.csv: no such file"):
        submit.run(settings(made_up, check=made_up / "gone.csv"))
    sample = made_up / "data" / "sample_submission.csv"
    submit.run(settings(made_up, check=sample, sample=sample, data=made_up / "nowhere",
                        runs_dir=made_up / "nowhere"))
