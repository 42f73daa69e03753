import csv

import numpy as np
import pytest

from pipeline.diagnostics.label_error_table import COLUMNS, write_label_errors
from pipeline.diagnostics.label_errors import LabelErrors
from pipeline.diagnostics.suspect_clips import Searched
from pipeline.runs.scores import Scores
from pipeline.runtime.errors import UsageError

HOSTILE = ("Bathtub_(filling_or_washing)", '<script>alert("1")</script>')


def searched(clips=("a.wav", "b.wav", "c.wav"), suspicious=("a.wav", "b.wav")):
    n = len(clips)
    wrong = np.zeros((n, 2), bool)
    wrong[:, 0] = [clip in suspicious for clip in clips]
    suggested = np.zeros((n, 2), bool)
    suggested[0, 1] = True
    truth = np.tile([True, False], (n, 1))
    errors = LabelErrors(wrong, np.zeros((n, 2), bool), suggested, np.linspace(0.2, 0.1, n))
    return Searched("noisy", Scores(clips, HOSTILE, np.zeros((n, 2), np.float32)), truth, errors)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_suspicious_clips_are_listed_least_confident_first(tmp_path):
    path = tmp_path / "reports" / "label_errors.csv"
    assert write_label_errors(path, [searched()]) == (2, 0)
    first, second = rows(path)
    assert list(first) == list(COLUMNS)
    assert first == {"clip_id": "b.wav", "split": "noisy", "labels": HOSTILE[0],
                     "suggested_labels": "", "score": "0.1500", "action": "", "new_labels": ""}
    assert (second["clip_id"], second["new_labels"]) == ("a.wav", HOSTILE[1])


def test_decisions_outlive_a_new_report(tmp_path):
    path = tmp_path / "label_errors.csv"
    write_label_errors(path, [searched()])
    text = path.read_text().replace("0.1500,,", "0.1500,drop,")
    path.write_text(text)
    assert write_label_errors(path, [searched()]) == (2, 1)
    assert path.read_text() == text
    # Not suspicious any more: the decision moves to the end.
    assert write_label_errors(path, [searched(suspicious=("a.wav", "c.wav"))]) == (2, 1)
    assert [(r["clip_id"], r["action"]) for r in rows(path)] == [
        ("c.wav", ""), ("a.wav", ""), ("b.wav", "drop")]


@pytest.mark.parametrize("text", ["name\nAda\n", "", "clip_id,split\n"])
def test_another_file_is_never_overwritten(tmp_path, text):
    path = tmp_path / "label_errors.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"not a table of label errors.*name another file"):
        write_label_errors(path, [searched()])
    assert path.read_text() == text
