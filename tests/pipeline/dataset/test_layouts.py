"""All layouts in one suite: the same recordings, laid out in every way, give the same clips.

A new layout needs a builder in `BUILDERS`, which lays some recordings out in its way; everything
below runs over it then.
"""

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.dataset import listing as datasets
from pipeline.dataset import preparation, tables
from pipeline.dataset.layouts import LAYOUTS
from pipeline.dataset.location import locate
from pipeline.runtime.errors import UsageError


@dataclass(frozen=True)
class Sound:
    """A recording to lay out; a layout that has no test split or no folds ignores that part."""

    name: str
    label: str
    split: str = "curated"
    fold: int = 1


SOUNDS = [
    Sound("a.wav", "Bark", fold=1), Sound("b c, d.wav", "Bark", fold=2),
    Sound("<script>alert(1).wav", "Fill_(with_liquid)", fold=1),
    Sound("É — 音.wav", "Fill_(with_liquid)", fold=2),
    Sound("UPPER.WAV", "<b>Purr", fold=1), Sound("f.flac", "<b>Purr", fold=2),
    Sound("t.wav", "Bark", split="test"),
]


def table(path, header, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


def put(folder, sound):
    folder.mkdir(parents=True, exist_ok=True)
    # Each recording is another one, of its own length.
    soundfile.write(folder / sound.name, np.full(400 + sum(sound.name.encode()) % 300, 0.1), 44_100,
                    subtype="PCM_16")


def fsdkaggle2019(root, sounds):
    for split, name in (("curated", "train_curated"), ("test", "test_post_competition")):
        there = [s for s in sounds if s.split == split]
        usage = ("Public",) if split == "test" else ()
        table(root / f"{name}.csv", "fname,labels,usage" if usage else "fname,labels",
              *((s.name, s.label, *usage) for s in there))
        for s in there:
            put(root / ("test" if usage else name), s)


def fsdkaggle2018(root, sounds):
    train, test = ([s for s in sounds if (s.split == "test") == t] for t in (False, True))
    table(root / "train.csv", "fname,label,manually_verified", *((s.name, s.label, 1)
                                                                 for s in train))
    table(root / "test_post_competition.csv", "fname,label,usage",
          *((s.name, s.label, "Private") for s in test))
    for s in sounds:
        put(root / ("audio_test" if s.split == "test" else "audio_train"), s)


def esc50(root, sounds):
    train = [s for s in sounds if s.split == "curated"]
    table(root / "meta" / "esc50.csv", "filename,fold,target,category,esc10,src_file,take",
          *((s.name, s.fold, 0, s.label, s.label == "Bark", "100", "A") for s in train))
    for s in train:
        put(root / "audio", s)


def urbansound8k(root, sounds):
    train = [s for s in sounds if s.split == "curated"]
    table(root / "metadata" / "UrbanSound8K.csv",
          "slice_file_name,fsID,start,end,salience,fold,classID,class",
          *((s.name, 1, 0.0, 0.1, 1, s.fold, 0, s.label) for s in train))
    for s in train:
        put(root / "audio" / f"fold{s.fold}", s)


def audiofolder(root, sounds):
    for s in sounds:
        put(root / ("test" if s.split == "test" else "train") / s.label, s)


def own_csv(root, sounds):
    train = [s for s in sounds if s.split == "curated"]
    table(root / "meta.csv", "fname,labels,fold", *((s.name, s.label, s.fold) for s in train))
    for s in train:
        put(root / "recordings", s)


BUILDERS = {
    "fsdkaggle2019": fsdkaggle2019, "fsdkaggle2018": fsdkaggle2018, "esc50": esc50,
    "urbansound8k": urbansound8k, "audiofolder": audiofolder, "csv": own_csv,
}


def has_folds(data):
    """Whether a table of the data set has a column of folds."""
    return any("fold" in path.read_text(encoding="utf-8").splitlines()[0].split(",")
               for path in data.rglob("*.csv"))


def test_every_layout_has_a_builder():
    assert set(BUILDERS) == set(LAYOUTS) == set(tables.LAYOUTS)
    assert all(name == layout.name for name, layout in LAYOUTS.items())


@pytest.fixture(params=LAYOUTS)
def laid_out(request, tmp_path):
    """(layout's name, a data folder in this layout)"""
    BUILDERS[request.param](tmp_path / "data", SOUNDS)
    return request.param, tmp_path / "data"


def prepare(data, **changed):
    return preparation.prepare(data, **{
        "labels": "multi", "folds": 2, "seed": 0, "drop_known_bad": True, **changed})


def expected(data):
    """The recordings that the builder laid out; the test clip has a place in some layouts only."""
    there = {path.name for path in data.rglob("*.*")}
    return [s for s in SOUNDS if s.name in there]


def test_the_same_clips_and_labels(laid_out):
    name, data = laid_out
    result = prepare(data)
    assert (result.dataset.layout, result.problems) == (name, [])
    assert result.dataset.classes == ("<b>Purr", "Bark", "Fill_(with_liquid)")
    found = {(Path(x.clip_id).name, x.labels, x.split) for x in result.labels}
    assert found == {(s.name, (s.label,), s.split) for s in expected(data)}
    layout = LAYOUTS[name]
    declares_test = layout.by_folder or any(s.split == "test" for s in layout.splits)
    assert declares_test == any(x.split == "test" for x in result.labels)
    assert [c.clip_id for c in result.clips] == [x.clip_id for x in result.labels]
    for clip in result.clips:
        assert clip.header.frames == soundfile.info(data / clip.path).frames
        assert clip.clip_id == (clip.path if layout.by_folder else Path(clip.path).name)


def test_the_official_folds_are_used(laid_out):
    _, data = laid_out
    if not has_folds(data):
        assert {x.fold for x in prepare(data).labels} <= {0, 1, None}
        return
    result = prepare(data, folds=5)
    fold_of = {s.name: s.fold - 1 if s.split == "curated" else None for s in SOUNDS}
    assert {x.clip_id: x.fold for x in result.labels} == {
        x.clip_id: fold_of[x.clip_id] for x in result.labels}
    assert "the 2 folds of the data set itself are used, not 5 of seed 0" in result.notes


def test_tables_are_written_and_read(laid_out, tmp_path):
    result = prepare(laid_out[1])
    preparation.write(result, tmp_path / "out")
    assert tables.read_clips(tmp_path / "out") == (result.dataset, result.clips)
    assert tables.read_labels(tmp_path / "out") == result.labels


def test_bad_files_are_listed(laid_out):
    _, data = laid_out
    n_expected = len(expected(data))
    (path,) = data.rglob("a.wav")
    path.write_bytes(b"")
    (path,) = data.rglob("b c, d.wav")
    path.write_bytes(b"<html>")
    (path,) = data.rglob("f.flac")
    path.unlink()
    path.symlink_to("nowhere")
    result = prepare(data)
    assert {Path(p.where).name: p.reason for p in result.problems} == {
        "a.wav": "empty", "b c, d.wav": "not-audio", "f.flac": "missing"}
    assert len(result.clips) == n_expected - 3


def test_extracted_as_it_lies_and_as_it_was_prepared(laid_out, tmp_path, call_stage, stores_of):
    """The same stores, byte by byte: the ids are those of prepare."""
    _, data = laid_out
    ended = call_stage("prepare", "--data", data, "--out", tmp_path / "prepared", "--folds", 2)
    assert (ended.code, ended.err) == (0, "")
    for source, out in ((tmp_path / "prepared", "a"), (data, "b")):
        ended = call_stage("extract", "--data", source, "--out", tmp_path / out, "--jobs", 1,
                           "--features", "waveform")
        assert ended.code == 0
        assert ended.extracted == len(expected(data))
    assert stores_of(tmp_path / "a") == stores_of(tmp_path / "b")


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"audiofolder", "csv"}))
def test_a_folder_around_it_is_told_where_the_data_are(tmp_path, name):
    BUILDERS[name](tmp_path / "archive-master", SOUNDS)
    with pytest.raises(UsageError, match="archive-master: give that folder as the data"):
        locate(tmp_path)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, name):
    if name == "audiofolder":
        table(tmp_path / "train" / "metadata.csv", "file_name,label", ("../../x.wav", "A"),
              ("y.wav", "A"))
        put(tmp_path / "train", Sound("y.wav", "A"))
    else:
        sound = next(s for s in SOUNDS if s.fold == 1)
        BUILDERS[name](tmp_path, [sound, Sound("y.wav", "Bark")])
        for path in tmp_path.rglob("*.csv"):
            path.write_text(path.read_text().replace("a.wav", "../a.wav"))
    assert [p.reason for p in datasets.read(tmp_path).problems] == ["outside"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layouts_declaration_is_sound(name):
    layout = LAYOUTS[name]
    names = {table for split in layout.splits for table in split.tables}
    assert layout.looks
    assert set(layout.columns) == {"fname", "labels"}
    assert set(layout.shared) <= names
    assert set(layout.marks) <= set(layout.shared)
    # Something identifies it.
    assert names - set(layout.shared) or layout.marks
    assert all(layout.known_bad.values())
    assert {split.split for split in layout.splits} <= {*tables.SPLITS, "train"}


def touch(root, layout, released):
    """The tables and folders of a layout, with the columns that identify it."""
    place = root / layout.places[-1] if released else root
    place.mkdir(parents=True, exist_ok=True)
    for names in layout.splits:
        header = ("fname", *layout.marks.get(names.tables[0], ("labels",)))
        (place / names.tables[0]).write_text(",".join(dict.fromkeys(header)) + "\n")
        (root / names.folders[released]).mkdir()


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("name", ["fsdkaggle2019", "fsdkaggle2018"])
def test_a_competition_and_the_release_after_it(tmp_path, name, released):
    layout, root = LAYOUTS[name], tmp_path / "data"
    touch(root, layout, released)
    if released and set(layout.splits[0].tables[:1]) <= set(layout.shared):
        # A release names its first table otherwise; the shared name does not identify it there.
        (root / layout.places[-1] / layout.splits[0].tables[1]).write_text("fname,labels\n")
    found = locate(root)
    assert found.layout is layout
    assert [part.split for part in found.parts] == [names.split for names in layout.splits]
    for part, names in zip(found.parts, layout.splits, strict=True):
        assert part.table is not None
        assert part.folder == names.folders[released]
        assert part.has_folder


# ESC-50 and UrbanSound8K


def test_a_subset_by_its_name(tmp_path):
    esc50(tmp_path, SOUNDS)
    result = prepare(tmp_path, subset="esc10")
    assert [(c.clip_id, c.path) for c in result.clips] == [
        ("a.wav", "audio/a.wav"), ("b c, d.wav", "audio/b c, d.wav")]
    assert result.dataset.classes == ("Bark",)
    assert "subset esc10: 4 other clips are left out" in result.notes
    assert not any("not in any table" in note for note in result.notes)


@pytest.mark.parametrize(("name", "words"), [
    ("esc50", r"no subset 'esc11'; known: esc10"), ("csv", "no subset 'esc11'; it has none")])
def test_an_unknown_subset(tmp_path, name, words):
    BUILDERS[name](tmp_path, SOUNDS)
    with pytest.raises(UsageError, match=words):
        datasets.read(tmp_path, subset="esc11")


@pytest.mark.parametrize("name", ["meta/esc50.csv", "metadata/UrbanSound8K.csv"])
def test_a_known_table_given_as_the_data(tmp_path, name):
    layout = "esc50" if "esc" in name else "urbansound8k"
    BUILDERS[layout](tmp_path, SOUNDS)
    result = prepare(tmp_path / name)
    assert (result.dataset.root, result.dataset.layout) == (tmp_path, layout)
    assert (len(result.clips), result.problems) == (6, [])


def test_tables_beside_the_folds_themselves(tmp_path):
    """As UrbanSound8K lies after some downloads: without metadata/ and audio/."""
    urbansound8k(tmp_path / "x", SOUNDS)
    (tmp_path / "x" / "metadata" / "UrbanSound8K.csv").rename(tmp_path / "UrbanSound8K.csv")
    for fold in (tmp_path / "x" / "audio").iterdir():
        fold.rename(tmp_path / fold.name)
    shutil.rmtree(tmp_path / "x")
    result = prepare(tmp_path)
    assert (result.problems, len(result.clips)) == ([], 6)
    assert result.clips[0].path == "fold1/<script>alert(1).wav"


@pytest.mark.parametrize("fold", ["", "../x", "1/..", "x y", "11"])
def test_a_row_whose_folder_cannot_be(tmp_path, fold):
    urbansound8k(tmp_path, [Sound("a.wav", "Bark"), Sound("b.wav", "Bark")])
    path = tmp_path / "metadata" / "UrbanSound8K.csv"
    rows = list(csv.reader(path.open()))
    rows[1][5] = fold
    table(path, ",".join(rows[0]), *rows[1:])
    (problem,) = prepare(tmp_path, folds=None).problems
    assert problem.reason == ("missing" if fold == "11" else "bad-fold")


def test_a_missing_column_of_an_official_table(tmp_path):
    table(tmp_path / "meta" / "esc50.csv", "filename,fold,label", ("a.wav", 1, "Bark"))
    with pytest.raises(UsageError, match=r"esc50.csv:1: no column category \(it has: filename"):
        datasets.read(tmp_path)
    table(tmp_path / "meta" / "esc50.csv", "filename,category", ("a.wav", "Bark"))
    with pytest.raises(UsageError, match="no column esc10"):
        datasets.read(tmp_path, subset="esc10")
    table(tmp_path / "metadata" / "UrbanSound8K.csv", "slice_file_name,class", ("a.wav", "Bark"))
    (tmp_path / "meta" / "esc50.csv").unlink()
    with pytest.raises(UsageError, match="no column fold"):
        datasets.read(tmp_path)


# Metadata of Hugging Face's audiofolder


def rows(listing):
    return [(c.clip_id, c.labels, c.split) for c in listing.clips]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_metadata_in_each_split(tmp_path, suffix):
    for split, name, labels in (("train", "a.wav", ["Bark", "Meow"]), ("val", "b.wav", ["Meow"]),
                                ("test", "sub/c.wav", ["Bark"])):
        put((tmp_path / split / name).parent, Sound(Path(name).name, ""))
        if suffix == "csv":
            table(tmp_path / split / "metadata.csv", "file_name,speaker,labels",
                  (name, "x", ",".join(labels)))
        else:
            line = json.dumps({"file_name": name, "speaker": None, "labels": labels})
            (tmp_path / split / "metadata.jsonl").write_text(line + "\n\n")
    result = prepare(tmp_path)
    assert [(x.clip_id, x.labels, x.split) for x in result.labels] == [
        ("test/sub/c.wav", ("Bark",), "test"), ("train/a.wav", ("Bark", "Meow"), "curated"),
        ("val/b.wav", ("Meow",), "curated")]
    assert result.problems == []
    assert any(note.startswith("train, val together are the training clips")
               for note in result.notes)


def test_recordings_beside_the_metadata_are_told(tmp_path):
    for name in ("train/a.wav", "train/b.wav", "Bark/c.wav"):
        put((tmp_path / name).parent, Sound(Path(name).name, ""))
    table(tmp_path / "train" / "metadata.csv", "file_name,label", ("a.wav", "A"))
    result = prepare(tmp_path, folds=None)
    assert [c.clip_id for c in result.clips] == ["train/a.wav"]
    assert result.notes == ["recordings that no table names: Bark/c.wav, train/b.wav"]


def test_metadata_at_the_top_names_files_of_the_splits(tmp_path):
    for name in ("train/a.wav", "test/b.wav", "c.wav"):
        put((tmp_path / name).parent, Sound(Path(name).name, ""))
    table(tmp_path / "metadata.csv", "file_name,label", ("train/a.wav", "A"), ("test/b.wav", "A"),
          ("c.wav", "B"))
    assert rows(datasets.read(tmp_path)) == [
        ("train/a.wav", ("A",), "curated"), ("test/b.wav", ("A",), "test"),
        ("c.wav", ("B",), "curated")]


def test_metadata_without_labels_leaves_them_to_the_folders(tmp_path):
    for name in ("A/a.wav", "B/b.wav", "c.wav", "C, D/d.wav", "x/E/e.wav"):
        put((tmp_path / name).parent, Sound(Path(name).name, ""))
    table(tmp_path / "metadata.csv", "file_name,text", ("A/a.wav", "x"), ("B/b.wav", "y"),
          ("c.wav", "z"), ("C, D/d.wav", ""), ("x/E/e.wav", ""))
    listing = datasets.read(tmp_path)
    assert rows(listing)[:2] == [("A/a.wav", ("A",), "curated"), ("B/b.wav", ("B",), "curated")]
    assert [(p.where, p.reason) for p in listing.problems] == [
        ("metadata.csv:4", "no-label"), ("metadata.csv:5", "bad-row"),
        ("metadata.csv:6", "bad-row")]


@pytest.mark.parametrize(("data", "words"), [
    (b'{"file_name": "a.wav", "label": "A"}\n{"file_name"\n[1]\n\xff\n' + b"[" * 100_000,
     ["metadata.jsonl:2: not JSON", "metadata.jsonl:3: needs an object",
      "metadata.jsonl:4: not JSON", "metadata.jsonl:5: not JSON: nested too deep"]),
])
def test_broken_lines_of_metadata_are_all_named(tmp_path, data, words):
    (tmp_path / "metadata.jsonl").write_bytes(data)
    put(tmp_path, Sound("a.wav", ""))
    with pytest.raises(UsageError) as error:
        datasets.read(tmp_path)
    assert all(each in str(error.value) for each in words)
