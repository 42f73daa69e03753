"""Each flag on a clip made to get it, and the order of the list."""

import pandas as pd
import pytest

from pipeline.survey.suspicion import FLAGS, flag_clips

ORDINARY = {"split": "curated", "labels": ("Bark",), "seconds": 2.0, "sr": 44100, "channels": 1,
            "format": "WAV PCM_16", "extracted": True, "rms_db": -20.0, "peak_db": -3.0,
            "clipped": 0.0, "silence": 0.0}


def table(**clips):
    rows = {f"ordinary{i}": ORDINARY for i in range(20)}
    rows |= {name: ORDINARY | changed for name, changed in clips.items()}
    result = pd.DataFrame(list(rows.values()), index=list(rows))
    return result


@pytest.mark.parametrize(("changed", "flags"), [
    ({"rms_db": -61.0}, ["silent"]),
    ({"rms_db": float("-inf"), "silence": 1.0}, ["silent"]),
    ({"rms_db": float("nan"), "clipped": float("nan"), "silence": float("nan")}, []),
    ({"clipped": 0.002}, ["clipped"]),
    ({"silence": 0.9}, ["mostly silence"]),
    ({"seconds": 0.2}, ["very short"]),
    ({"sr": 8000}, ["unusual format"]),
    ({"channels": 2}, ["unusual format"]),
    ({"format": "MP3 MPEG_LAYER_III"}, ["unusual format"]),
    ({"extracted": False}, ["not extracted"]),
    ({"extracted": False, "seconds": 0.2}, ["not extracted", "very short"]),
])
def test_a_clip_gets_its_flags(changed, flags):
    assert flag_clips(table(odd=changed), []) == ({"odd": flags} if flags else {})


@pytest.mark.parametrize(("a", "b", "flags"), [
    ({}, {}, "duplicate"),
    ({}, {"labels": ("Meow",)}, "duplicate with other labels"),
    ({}, {"labels": ("Meow",), "split": "noisy"}, "duplicate with other labels"),
    ({}, {"labels": (), "split": "test"}, "in training and test"),
    ({"split": "test"}, {"labels": ("Meow",), "split": "test"}, "duplicate"),
])
def test_duplicates(a, b, flags):
    assert flag_clips(table(a=a, b=b), [("a", "b")]) == {"a": [flags], "b": [flags]}


def test_a_duplicate_that_has_no_label_row_is_left_out():
    assert flag_clips(table(a={}), [("a", "gone")]) == {}


def test_no_format_is_unusual_where_none_is_common():
    clips = table(**{f"odd{i}": {"sr": 8000} for i in range(20)})
    assert flag_clips(clips, []) == {}


def test_the_heaviest_come_first():
    clips = table(a={"seconds": 0.1}, b={"rms_db": -90.0}, c={"seconds": 0.1, "clipped": 0.5})
    assert list(flag_clips(clips, [])) == ["b", "c", "a"]
    assert all(flag.weight > 0 for flag in FLAGS.values())
