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
    put("train/Bark/a.wav", "validation/Bark/b.wav", "validation/Meow/c.wav")
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
    put("train/Bark/a.wav", "train/Meow/a2.wav", "test/Brak/b.wav")
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
    put("Bark/a.wav", "Purr/b.wav", "test.txt/c.wav")
    shutil.move(root / "test.txt" / "c.wav", root / "Bark" / "c.wav")
    (root / "Meow").mkdir()
    (root / "Meow" / "notes.txt").write_text("x")
    result = prepare(root)
    assert result.dataset.classes == ("Bark", "Purr")
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
    put("train/Bark/a.wav", "train/Bark/b.wav", "train/Meow/c.wav", "test/Bark/x.wav")
    (root / "test" / "Bark" / "a.wav").symlink_to(root / "train" / "Bark" / "a.wav")
    result = prepare(root)
    assert [(p.where, p.reason) for p in result.problems] == [("train/Bark/a.wav", "duplicate")]
    assert "test/Bark/a.wav" in {c.clip_id for c in result.clips}


def test_bad_files_and_names(data):
    root, put = data
    put("Bark/a.wav", "Bark/b.wav", "Bark/c, d <script>.wav", "Meow/e.wav")
    (root / "Bark" / "b.wav").write_bytes(b"")
    os.mkfifo(root / "Bark" / "p.wav")
    shutil.copy(root / "Bark" / "a.wav", os.fsencode(root) + b"/Bark/caf\xe9.wav")
    result = prepare(root)
    assert {(p.where, p.reason) for p in result.problems} == {
        ("Bark/b.wav", "empty"), ("Bark/p.wav", "not-a-file"), ("Bark/caf\\xe9.wav", "bad-name")}
    "\n".join(result.notes).encode()  # a terminal takes it
    preparation.write(result, root / "out")


# Tables beside the folders, and folders that are not classes


@pytest.mark.parametrize("folders", [("clips",), ("Bark", "Meow"), ("train/Bark", "train/Meow")])
@pytest.mark.parametrize(("name", "text", "words"), [
    ("meta.csv", "file,tag\na.wav,Bark\n",
     "meta.csv:1: no column fname, no column labels or label (it has: file, tag)"),
    ("meta.csv", "fname;labels\na.wav;Bark\n", "separated by semicolons, save it with commas"),
    ("meta.tsv", "fname\tlabels\na.wav\tBark\n", "separated by tabs, save it with commas"),
    ("META.CSV", "fname,labels\na.wav,Bark\n", "META.CSV: its name must end in .csv"),
    ("meta.csv", "", "meta.csv: empty"),
    ("meta.xlsx", "PK", "meta.xlsx: a spreadsheet; save it as CSV"),
    ("labels.jsonl", "{}", "labels.jsonl: needs the name metadata.jsonl"),
    ("sample_submission.csv", "fname,Bark\n", "sample_submission.csv: names test clips"),
    ("info/deep/meta.csv", "fname,labels\na.wav,Bark\n", "meta.csv: has the columns, but is looked "
     "for only in"),
    ("info/meta.csv", "fname,labels\n17,Bark\n", "first fname, '17', has no suffix of audio"),
    ("info/metadata.csv", "file_name,label\na.wav,Bark\n", "has the column file_name, but is not"),
])
def test_a_table_that_is_not_understood_is_refused(data, folders, name, text, words):
    root, put = data
    put(*(f"{folder}/{i}.wav" for i, folder in enumerate(folders)))
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    with pytest.raises(UsageError) as error:
        prepare(root)
    for each in (words, str(root / name), "none of its tables is understood", "Looked for:",
                 f"If its folders are the classes, and the tables say nothing of that, move the "
                 f"tables out of {root}"):
        assert each in str(error.value)


def test_every_table_is_named_and_moving_them_away_makes_the_folders_classes(data):
    root, put = data
    put("Bark/a.wav", "Meow/b.wav")
    (root / "credits").mkdir()
    for name in ("credits.csv", "credits/authors.tsv"):
        (root / name).write_text("file,author\na.wav,me\n")
    with pytest.raises(UsageError) as error:
        prepare(root)
    assert all(f"{root / name}:1: no column fname" in str(error.value)
               for name in ("credits.csv", "credits/authors.tsv"))
    (root / "credits.csv").unlink()
    (root / "credits" / "authors.tsv").unlink()
    assert prepare(root).dataset.classes == ("Bark", "Meow")


def test_fsd50k_as_published_is_refused(data):
    root, put = data
    put("FSD50K.dev_audio/64760.wav", "FSD50K.eval_audio/37199.wav")
    truth = root / "FSD50K.ground_truth"
    truth.mkdir()
    (truth / "dev.csv").write_text(
        'fname,labels,mids,split\n64760,"Guitar,Music","/m/0342h,/m/04rlf",train\n')
    (truth / "eval.csv").write_text("fname,labels,mids\n37199,Guitar,/m/0342h\n")
    (truth / "vocabulary.csv").write_text("0,Guitar,/m/0342h\n1,Music,/m/04rlf\n")
    with pytest.raises(UsageError) as error:
        prepare(root)
    for words in ("dev.csv: has the columns, but is looked for only in", "fname, '64760', has no",
                  "eval.csv: has", "vocabulary.csv:1: no column fname"):
        assert words in str(error.value)


def test_what_is_no_table_of_clips_is_not_refused(data):
    """Texts, a table among one class's recordings, and what prepare and extract wrote there."""
    root, put = data
    put("Bark/a.wav", "Meow/b.wav")
    for name in ("README.txt", "LICENCE", "CITATION.bib", "Bark/annotations.csv", "._meta.csv"):
        (root / name).write_text("file,author\n")
    result = prepare(root)
    preparation.write(result, root / "prepared")
    (root / "stores").mkdir()
    shutil.copy(root / "prepared" / "problems.csv", root / "stores")
    again = prepare(root)
    assert again.dataset.classes == result.dataset.classes == ("Bark", "Meow")
    assert again.clips == result.clips


@pytest.mark.parametrize(("names", "folder"), [
    (("clips/a.wav", "clips/b.wav"), "clips"),
    (("train/Bark/a.wav", "train/Bark/b.wav", "test/Meow/c.wav"), "Bark"),
])
def test_one_class_cannot_be_learned(data, names, folder):
    root, put = data
    put(*names)
    with pytest.raises(UsageError) as error:
        prepare(root)
    for words in (f"all training clips lie in one folder, {folder}/", "one class cannot be learned",
                  "a CSV with the columns fname and labels"):
        assert words in str(error.value)


def test_a_table_among_the_recordings_of_the_only_folder_is_named(data):
    root, put = data
    put("clips/a.wav", "clips/b.wav")
    (root / "clips" / "meta.csv").write_text("fname,labels\na.wav,Bark\nb.wav,Meow\n")
    with pytest.raises(UsageError, match=r"clips/meta.csv: has the columns, but is looked for"):
        prepare(root)


@pytest.mark.parametrize("given", ["us8k/audio", "us8k"])
@pytest.mark.parametrize("folds", [1, 10])
def test_folds_are_not_classes(data, given, folds):
    root, put = data
    put(*(f"us8k/audio/fold{i + 1}/{i}.wav" for i in range(folds)))
    with pytest.raises(UsageError) as error:
        prepare(root / given)
    first = "fold1/" if given == "us8k/audio" else "audio/fold1/"
    for words in (first, "folds of a cross-validation, not classes", "metadata/UrbanSound8K.csv",
                  f"columns fname (such as {first}a.wav), labels and fold"):
        assert words in str(error.value)


def test_the_folder_above_the_folds_is_named_where_its_table_is_there(data):
    root, put = data
    put("us8k/audio/fold1/a.wav", "us8k/audio/fold2/b.wav")
    (root / "us8k" / "metadata").mkdir()
    (root / "us8k" / "metadata" / "UrbanSound8K.csv").write_text(
        "slice_file_name,fold,class\na.wav,1,siren\nb.wav,2,drilling\n")
    with pytest.raises(UsageError, match=f"give the folder above, {root / 'us8k'}, that has"):
        prepare(root / "us8k" / "audio")
    assert prepare(root / "us8k").dataset.classes == ("drilling", "siren")
