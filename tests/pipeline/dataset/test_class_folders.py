"""A folder per class: which classes and splits, and what is refused as ambiguous."""

import os
import shutil

import numpy as np
import pytest
import soundfile

from pipeline.dataset import preparation
from pipeline.runtime.errors import UsageError


@pytest.fixture
def data(tmp_path):
    """(root, put): make recordings by their paths, each of its own bytes."""
    def put(*names, value=None):
        for i, name in enumerate(names):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            level = value or 0.1 + (i + sum(name.encode())) % 997 / 2000
            soundfile.write(path, np.full(500, level), 44_100, subtype="PCM_16")

    return tmp_path, put


def prepare(data, **changed):
    return preparation.prepare(data, **{
        "labels": "multi", "folds": 2, "seed": 0, "drop_known_bad": True, **changed})


def rows(result):
    return [(x.clip_id, x.labels, x.split) for x in result.labels]


def test_a_folder_per_class(data):
    root, put = data
    put("Meow/b.wav", "Bark/a.wav", "Bark/A.FLAC")
    result = prepare(root)
    assert rows(result) == [("Bark/A.FLAC", ("Bark",), "curated"),
                            ("Bark/a.wav", ("Bark",), "curated"),
                            ("Meow/b.wav", ("Meow",), "curated")]
    assert result.dataset.classes == ("Bark", "Meow")


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "TESTING"),
                                   ("train", "evaluation")])
def test_splits(data, names):
    root, put = data
    put(f"{names[0]}/Bark/a.wav", f"{names[0]}/Meow/b.wav", f"{names[1]}/Bark/c.wav")
    assert sorted(rows(prepare(root)), key=lambda row: row[0].casefold()) == sorted([
        (f"{names[0]}/Bark/a.wav", ("Bark",), "curated"),
        (f"{names[0]}/Meow/b.wav", ("Meow",), "curated"),
        (f"{names[1]}/Bark/c.wav", ("Bark",), "test")], key=lambda row: row[0].casefold())


def test_validation_joins_the_training_clips(data):
    root, put = data
    put("train/Bark/a.wav", "validation/Bark/b.wav")
    result = prepare(root)
    assert {x.split for x in result.labels} == {"curated"}
    assert ("train, validation together are the training clips: each fold validates on its share "
            "of them" in result.notes)


def test_training_clips_alone(data):
    root, put = data
    put("train/Bark/a.wav", "train/Meow/b.wav")
    assert [x.split for x in prepare(root).labels] == ["curated", "curated"]


def test_test_clips_without_labels(data):
    root, put = data
    put("train/Bark/a.wav", "train/Meow/b.wav", "test/c.wav", "test/d.wav")
    assert rows(prepare(root))[:2] == [("test/c.wav", (), "test"), ("test/d.wav", (), "test")]


def test_the_sound_of_a_train_is_a_class(data):
    root, put = data
    put("train/a.wav", "church_bells/b.wav", "siren/c.wav")
    assert prepare(root).dataset.classes == ("church_bells", "siren", "train")


def test_a_class_of_the_test_clips_alone_is_unknown(data):
    root, put = data
    put("train/Bark/a.wav", "train/Bark/a2.wav", "test/Brak/b.wav")
    (problem,) = prepare(root).problems
    assert (problem.where, problem.reason) == ("test/Brak/b.wav", "unknown-label")
    assert problem.advice == "Did you mean Bark?"


@pytest.mark.parametrize(("names", "words"), [
    (("train/Bark/a.wav", "Meow/b.wav"), ["train/ hold folders of audio", "Meow/ lie beside them"]),
    (("Animals/Dog/a.wav", "Tools/Saw/b.wav"),
     ["2 recordings lie in a folder inside a folder", "Animals/Dog/a.wav", "CLASS/a.wav",
      "metadata.csv"]),
    (("audio/Dog/a.wav", "audio/Saw/b.wav"), ["give {root}/audio as the data"]),
    (("train/x/Dog/a.wav", "test/Dog/b.wav"), ["either may be the class", "train/CLASS/a.wav"]),
    (("a.wav", "b.wav"), ["no labels: none of its 2 recordings", "extract needs no labels"]),
    (("train/a.wav", "test/b.wav"), ["train: no labels"]),
    (("Bark, loud/a.wav", " Meow/b.wav", "ok/c.wav"),
     ["no name for a class: ' Meow', 'Bark, loud'", "rename the folder"]),
])
def test_what_is_ambiguous_is_refused(data, names, words):
    root, put = data
    put(*names)
    with pytest.raises(UsageError) as error:
        prepare(root)
    for each in words:
        assert each.format(root=root) in str(error.value)


def test_nothing_there_says_what_was_looked_for(data):
    root, _ = data
    (root / "Bark").mkdir()
    (root / "Bark" / "notes.txt").write_text("x")
    with pytest.raises(UsageError) as error:
        prepare(root)
    for words in ("there is no audio", "Found: Bark/\n", "Looked for:", "meta/esc50.csv",
                  "UrbanSound8K.csv", "metadata.csv", "train/CLASS/a.wav",
                  "python -m pipeline.demo"):
        assert words in str(error.value)


def test_files_beside_the_classes_are_problems(data):
    root, put = data
    put("Bark/a.wav", "Meow/b.wav", "loose.wav")
    (root / "README.md").write_text("x")
    (root / ".loop").symlink_to(".loop")
    result = prepare(root)
    assert [(p.where, p.reason) for p in result.problems] == [("loose.wav", "no-label")]
    assert [c.clip_id for c in result.clips] == ["Bark/a.wav", "Meow/b.wav"]
    assert "2 files that are not audio are left out: 1 .md, 1 hidden" in result.notes


def test_classes_without_audio_are_told(data):
    root, put = data
    put("Bark/a.wav", "Bark/b.wav", "test.txt/c.wav")
    shutil.move(root / "test.txt" / "c.wav", root / "Bark" / "c.wav")
    (root / "Meow").mkdir()
    (root / "Meow" / "notes.txt").write_text("x")
    result = prepare(root)
    assert result.dataset.classes == ("Bark",)
    assert "folders without audio are no classes: Meow, test.txt" in result.notes


def test_one_name_in_two_classes_is_two_clips(data):
    root, put = data
    put("Bark/a.wav", "Meow/a.wav")
    assert [c.clip_id for c in prepare(root).clips] == ["Bark/a.wav", "Meow/a.wav"]


def test_one_recording_in_two_classes_is_refused(data):
    root, put = data
    put("Bark/a.wav", "Bark/b.wav", "Meow/a.wav", "Meow/c.wav")
    shutil.copy(root / "Bark" / "a.wav", root / "Meow" / "a.wav")
    result = prepare(root)
    assert {(p.where, p.reason, p.found) for p in result.problems} == {
        ("Meow/a.wav", "duplicate", "it has the same bytes as Bark/a.wav"),
        ("Bark/a.wav", "duplicate", "it has the same bytes as Meow/a.wav")}
    assert [c.clip_id for c in result.clips] == ["Bark/b.wav", "Meow/c.wav"]


def test_one_recording_in_training_and_test_counts_for_the_test(data):
    root, put = data
    put("train/Bark/a.wav", "train/Bark/b.wav", "train/Bark/c.wav", "test/Bark/x.wav")
    (root / "test" / "Bark" / "a.wav").symlink_to(root / "train" / "Bark" / "a.wav")
    result = prepare(root)
    assert [(p.where, p.reason) for p in result.problems] == [("train/Bark/a.wav", "duplicate")]
    assert "test/Bark/a.wav" in {c.clip_id for c in result.clips}


def test_bad_files_and_names(data):
    root, put = data
    put("Bark/a.wav", "Bark/b.wav", "Bark/c, d <script>.wav")
    (root / "Bark" / "b.wav").write_bytes(b"")
    os.mkfifo(root / "Bark" / "p.wav")
    shutil.copy(root / "Bark" / "a.wav", os.fsencode(root) + b"/Bark/caf\xe9.wav")
    result = prepare(root)
    assert {(p.where, p.reason) for p in result.problems} == {
        ("Bark/b.wav", "empty"), ("Bark/p.wav", "not-a-file"), ("Bark/caf\\xe9.wav", "bad-name")}
    "\n".join(result.notes).encode()  # a terminal takes it
    preparation.write(result, root / "out")


def test_a_csv_that_names_no_clips_is_told(data):
    root, put = data
    put("Bark/a.wav", "Meow/b.wav")
    (root / "credits.csv").write_text("file,author\na.wav,me\n")
    assert any(note.startswith("not used:") and "credits.csv:1: no column fname" in note
               for note in prepare(root).notes)
