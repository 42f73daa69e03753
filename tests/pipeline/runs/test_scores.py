import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import Scores, align, atomic_write, join, load, save
from pipeline.runtime.errors import PipelineError, StoreError, UsageError

CLASSES = ("Bark", "Rain", "Zither")


def scores(clips="abcd", classes=CLASSES, seed=0):
    values = np.random.default_rng(seed).random((len(clips), len(classes)), dtype=np.float32)
    return Scores(tuple(clips), tuple(classes), values)


def write_run(runs, name="mfcc", folds=(0, 1), tests=True, **facts):
    """A trained run of four clips a fold; returns its folder."""
    folder = runs / name
    for k in folds:
        save(folder / f"folds/{k}" / "oof.npz", scores([f"{k}{c}" for c in "abcd"], seed=k))
        if tests:
            save(folder / "test" / f"{k}.npz", scores("xyz", seed=9 + k))
    content = {"classes": CLASSES, "label_mode": "multi", "folds": folds, **facts}
    (folder / "run.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("clips", [("a.wav", "ü-日本.wav"), ()])
def test_what_is_saved_is_loaded(tmp_path, clips):
    result = scores(clips)
    save(tmp_path / "new" / "s.npz", result)
    back = load(tmp_path / "new" / "s.npz", made_by="x")
    assert (back.clip_ids, back.classes) == (result.clip_ids, result.classes)
    assert back.values.dtype == np.float32
    np.testing.assert_array_equal(back.values, result.values)


def test_the_bytes_depend_on_the_scores_alone(tmp_path, monkeypatch):
    save(tmp_path / "one.npz", scores())
    monkeypatch.setattr("time.time", lambda: 2e9)
    transposed = Scores(tuple("abcd"), CLASSES, np.asfortranarray(scores().values))
    save(tmp_path / "two.npz", transposed)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_everything_wrong_with_scores_is_listed():
    with pytest.raises(PipelineError) as caught:
        Scores(("a", "a"), ("X", "X"), np.zeros((3, 2)))
    for part in ("clip_ids has a", "classes has X", "float64; needs float32", "(3, 2)", "(2, 2)"):
        assert part in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_name_their_clips(bad):
    values = np.zeros((3, 1), np.float32)
    values[1] = bad
    with pytest.raises(PipelineError, match=r"NaN or infinity in the scores of b;.*learning rate"):
        Scores(("a", "b", "c"), ("X",), values)


def test_a_file_that_is_not_there_names_the_command(tmp_path):
    with pytest.raises(UsageError, match=r"s.npz: no such file; `python -m pipeline.train`"):
        load(tmp_path / "s.npz", made_by="python -m pipeline.train")


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("bomb"),))


def broken_files(path):
    """(what, content) of files that are no scores."""
    def arrays(**given):
        whole = {"clip_ids": np.array(["a"]), "classes": np.array(["X"]),
                 "values": np.ones((1, 1), np.float32), **given}
        np.savez(path, **{k: v for k, v in whole.items() if v is not None})
        return path.read_bytes()

    np.save(path.with_suffix(".npy"), np.zeros(3))
    yield "empty", b""
    yield "no zip", b"fname,Bark\n"
    yield "one array", path.with_suffix(".npy").read_bytes()
    yield "no classes", arrays(classes=None)
    yield "pickled", arrays(clip_ids=np.array([Bomb()], dtype=object))
    yield "ids of bytes", arrays(clip_ids=np.array([b"a"]))
    yield "ids of two axes", arrays(clip_ids=np.array([["a"]]))
    yield "wrong shape", arrays(values=np.ones((2, 1), np.float32))
    yield "wrong dtype", arrays(values=np.ones((1, 1)))
    yield "not finite", arrays(values=np.full((1, 1), np.nan, np.float32))


def test_a_broken_file_is_a_store_error_that_names_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "s.npz"
    for what, content in list(broken_files(path)):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"(?s)s\.npz: not a valid score.*`make it`"):
            pytest.fail(f"{what}: {load(path, made_by='make it')}")
    assert not Path("bomb").exists()


@pytest.fixture(scope="module")
def sound_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "s.npz"
    save(path, scores())
    return path, path.read_bytes()


@given(data=st.data())
def test_a_damaged_file_loads_as_it_was_or_is_a_store_error(sound_bytes, data):
    path, content = sound_bytes
    end = data.draw(st.integers(0, len(content)), label="length")
    damaged = bytearray(content[:end])
    for _ in range(data.draw(st.integers(0 if end < len(content) else 1, 3), label="flips")):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    hurt = path.with_name("hurt.npz")
    hurt.write_bytes(damaged)
    try:
        back = load(hurt, made_by="x")
    except StoreError:
        return
    # Not every byte of a zip means something.
    np.testing.assert_array_equal(back.values, scores().values)
    assert back.clip_ids == scores().clip_ids


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")

    def fail():
        with atomic_write(path) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("f", "old")]


def test_align_puts_clips_and_classes_in_the_order_of_the_first():
    first = scores()
    mixed = Scores(tuple("dbca"), CLASSES[::-1], first.values[[3, 1, 2, 0]][:, ::-1])
    one, two = align([("first", first), ("mixed", mixed)])
    assert (two.clip_ids, two.classes) == (first.clip_ids, first.classes)
    np.testing.assert_array_equal(one.values, first.values)
    np.testing.assert_array_equal(two.values, first.values)


def test_align_lists_what_is_missing_where():
    few = scores([f"{i:02}" for i in range(12)])
    with pytest.raises(UsageError) as caught:
        align([("mfcc", few), ("logmel", scores("a", ("Bark",)))])
    message = str(caught.value)
    assert "mfcc has no scores for 1 clips: a\n" in message
    assert "logmel has no scores for 12 clips: 00, 01," in message
    assert "09 and 2 more" in message
    assert "logmel has no scores for 2 classes: Rain, Zither" in message


def test_join_refuses_a_clip_of_two_folds_and_other_classes():
    with pytest.raises(UsageError, match=r"b \(in fold 0 and fold 1\)"):
        join([("fold 0", scores("ab")), ("fold 1", scores("bc"))])
    with pytest.raises(UsageError, match="fold 0 and fold 1 differ in their classes: Dog, Zither"):
        join([("fold 0", scores("a")), ("fold 1", scores("b", ("Bark", "Rain", "Dog")))])


def test_load_run_joins_the_folds_and_keeps_their_tests_apart(tmp_path):
    write_run(tmp_path)
    oof, tests = RunFolder(tmp_path, "mfcc").load()
    assert oof.clip_ids == ("0a", "0b", "0c", "0d", "1a", "1b", "1c", "1d")
    np.testing.assert_array_equal(oof.values[4:], scores("abcd", seed=1).values)
    np.testing.assert_array_equal([t.values for t in tests],
                                  [scores("xyz", seed=9).values, scores("xyz", seed=10).values])


def test_load_run_of_an_ensemble_and_of_a_run_before_predict(tmp_path):
    write_run(tmp_path, tests=False)
    assert RunFolder(tmp_path, "mfcc").load()[1] == []
    folder = tmp_path / "both"
    save(folder / "oof.npz", scores())
    save(folder / "test.npz", scores("xy"))
    facts = {"kind": "ensemble", "classes": CLASSES, "label_mode": "single"}
    (folder / "run.json").write_text(json.dumps(facts))
    assert RunFolder(tmp_path, "both").read().label_mode == "single"
    oof, tests = RunFolder(tmp_path, "both").load()
    assert oof.clip_ids == tuple("abcd")
    assert [t.clip_ids for t in tests] == [("x", "y")]


@pytest.mark.parametrize(("gone", "command"), [
    ("folds/1/oof.npz", "pipeline.train"), ("test/1.npz", "pipeline.predict"),
])
def test_a_fold_without_scores_names_the_stage_that_makes_them(tmp_path, gone, command):
    (write_run(tmp_path) / gone).unlink()
    with pytest.raises(UsageError, match=rf"{gone}: no such file; `python -m {command}`"):
        RunFolder(tmp_path, "mfcc").load()


def test_an_unknown_run_lists_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match=r"no run 'mfcc'.*pipeline.train"):
        RunFolder(tmp_path, "mfcc").load()
    write_run(tmp_path)
    write_run(tmp_path, "logmel")
    with pytest.raises(UsageError, match=r"'mfc'; did you mean mfcc\? there are: logmel, mfcc"):
        RunFolder(tmp_path, "mfc").load()
    for outside in ("../mfcc", "", "..", "mfcc/folds/0"):
        with pytest.raises(UsageError, match="has no run"):
            RunFolder(tmp_path / "logmel", outside).load()


@pytest.mark.parametrize("content", [
    "", "[]", "{}", '{"classes": ["A"], "label_mode": "multi", "folds": 5}',
    '{"classes": ["A"], "label_mode": "multi", "folds": ["0"]}',
    '{"classes": ["A"], "label_mode": "both", "folds": [0]}', '{"classes": 3, "kind": "ensemble"}',
    "[" * 100_000, '{"folds": 5}',
])
def test_a_broken_run_json_is_a_store_error(tmp_path, content):
    (write_run(tmp_path) / "run.json").write_text(content)
    with pytest.raises(StoreError, match=r"mfcc/run.json: .*train the run again"):
        RunFolder(tmp_path, "mfcc").load()
    # Training a fold again needs nothing of it.
    RunFolder(tmp_path, "mfcc").fold(0).begin({"seed": 0})
    assert RunFolder(tmp_path, "mfcc").fold(0).read()["identity"] == {"seed": 0}


def test_scores_of_other_classes_than_the_run_are_a_store_error(tmp_path):
    write_run(tmp_path, classes=["Bark", "Rain"])
    with pytest.raises(StoreError, match=r"folds/0/oof.npz: its classes .*\(Zither\)"):
        RunFolder(tmp_path, "mfcc").load()
