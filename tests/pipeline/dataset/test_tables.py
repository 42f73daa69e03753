"""The prepared tables: they come back as they were written, and damage is named by row."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.file_header import Header
from pipeline.dataset import tables as clips
from pipeline.dataset.tables import Clip, Dataset, Label
from pipeline.runtime.errors import UsageError

DATASET = Dataset(Path("data/demo"), "fsdkaggle2019", ("Bark", "Meow", "Größe"), "multi")
CLIPS = [
    Clip("a.wav", "train_curated/a.wav", Header("WAV", "PCM_16", 44_100, 1, 13_230)),
    Clip("b, c.ogg", "test/b, c.ogg", Header("OGG", "VORBIS", 48_000, 2, 1)),
]
LABELS = [
    Label("a.wav", ("Bark", "Größe"), "curated", 0, ""),
    Label("b, c.ogg", ("Meow",), "test", None, "Private"),
    Label("d.wav", (), "test", None, ""),
    Label("e.wav", ("Meow",), "noisy", None, ""),
    Label("f.wav", ("Meow",), "curated", None, ""),
]


@pytest.fixture
def folder(tmp_path):
    clips.write_dataset(tmp_path, DATASET)
    clips.write_clips(tmp_path, CLIPS)
    clips.write_labels(tmp_path, LABELS)
    return tmp_path


def test_all_comes_back(folder):
    assert clips.is_prepared(folder)
    assert clips.read_clips(folder) == (DATASET, CLIPS)
    assert clips.read_labels(folder) == LABELS


def test_bytes(folder):
    assert (folder / "clips.csv").read_bytes() == (
        b"clip_id,path,format,subtype,sr,channels,frames\n"
        b"a.wav,train_curated/a.wav,WAV,PCM_16,44100,1,13230\n"
        b'"b, c.ogg","test/b, c.ogg",OGG,VORBIS,48000,2,1\n'
    )
    assert (folder / "labels.csv").read_text(encoding="utf-8").splitlines()[:3] == [
        "clip_id,labels,split,fold,usage", 'a.wav,"Bark,Größe",curated,0,',
        '"b, c.ogg",Meow,test,,Private',
    ]
    assert json.loads((folder / "dataset.json").read_bytes()) == {
        "root": "data/demo", "layout": "fsdkaggle2019", "classes": ["Bark", "Meow", "Größe"],
        "label_mode": "multi",
    }
    assert not list(folder.glob("*.partial"))


# What can be a name: no control characters, and no surrogates.
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
PATHS = NAMES.filter(lambda p: not clips.leaves_folder(p))
COUNTS = st.integers(1, 2**53)


HEADERS = st.builds(Header, st.just("WAV"), st.just("PCM_16"), COUNTS, COUNTS, COUNTS)


@given(st.lists(st.builds(Clip, NAMES, PATHS, HEADERS), unique_by=lambda c: c.clip_id))
def test_any_clips_come_back(tmp_path_factory, result):
    folder = tmp_path_factory.mktemp("clips")
    clips.write_dataset(folder, DATASET)
    clips.write_clips(folder, result)
    assert clips.read_clips(folder)[1] == result


CLASSES = NAMES.filter(lambda name: "," not in name)


@given(st.data(), st.lists(CLASSES, min_size=1, unique=True))
def test_any_labels_come_back(tmp_path_factory, data, classes):
    folder = tmp_path_factory.mktemp("labels")
    names = st.lists(st.sampled_from(classes), min_size=1, unique=True).map(tuple)
    rows = st.one_of(
        st.builds(Label, NAMES, names, st.just("curated"), st.none() | st.integers(0, 99),
                  st.just("")),
        st.builds(Label, NAMES, names, st.just("noisy"), st.none(), st.just("")),
        st.builds(Label, NAMES, names | st.just(()), st.just("test"), st.none(),
                  st.sampled_from(clips.USAGES)),
    )
    result = data.draw(st.lists(rows, unique_by=lambda row: row.clip_id))
    clips.write_dataset(folder, Dataset(Path("d"), "csv", tuple(classes), "multi"))
    clips.write_labels(folder, result)
    assert clips.read_labels(folder) == result


@pytest.mark.parametrize("name", ["clips.csv", "dataset.json", "labels.csv"])
def test_a_missing_file_says_who_writes_it(folder, name):
    (folder / name).unlink()
    assert clips.is_prepared(folder) == (name == "labels.csv")
    read = clips.read_labels if name == "labels.csv" else clips.read_clips
    with pytest.raises(UsageError, match=r"pipeline\.prepare") as error:
        read(folder)
    assert name in str(error.value)


def test_every_bad_row_of_clips_is_named(folder):
    rows = [
        "clip_id,path,format,subtype,sr,channels,frames",
        "a.wav,a.wav,WAV,PCM_16,44100,1,10",
        "a.wav,b.wav,WAV,PCM_16,44100,1,10",
        "c.wav,../c.wav,WAV,PCM_16,44100,1,10",
        "d.wav,/d.wav,WAV,PCM_16,44100,1,10",
        "e.wav,e.wav,WAV,PCM_16,fast,1,10",
        "f.wav,f.wav,WAV,PCM_16,44100,0,10",
        "g.wav,g.wav,WAV,PCM_16,44100,1,-1",
        "h.wav,h.wav",
        ",i.wav,WAV,PCM_16,44100,1,10",
        "j.wav,,WAV,PCM_16,44100,1,10",
        "k.wav,k.wav,WAV,PCM_16,44100,1," + "9" * 5000,
    ]
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(UsageError) as error:
        clips.read_clips(folder)
    said = str(error.value).splitlines()
    assert [line.split(": ")[0].rsplit(":")[-1] for line in said] == [str(i) for i in range(3, 13)]
    for line, words in zip(said, (
        "'a.wav' is in row 2", "'..'", "absolute", "sr is 'fast'", "channels is '0'",
        "frames is '-1'", "2 cells", "clip_id is empty", "path is ''", "",
    ), strict=True):
        assert words in line


def test_every_bad_row_of_labels_is_named(folder):
    rows = {
        "a,Brak,curated,0,": "'Brak' is not a class",
        "b,,curated,0,": "labels is empty",
        'c,"Bark,Bark",curated,0,': "one label twice",
        "d,Bark,train,0,": "split is 'train'; known: curated, noisy, test",
        "e,Bark,noisy,0,": "a noisy clip has none",
        "f,Bark,curated,-1,": "fold is '-1'",
        "g,Bark,test,,public": "usage is 'public'",
        ",Bark,curated,0,": "clip_id is empty",
        'h,"Bark,",curated,0,': "'' is not a class",
        "i,Bark,curated": "3 cells",
    }
    (folder / "labels.csv").write_text("\n".join(["clip_id,labels,split,fold,usage", *rows]))
    with pytest.raises(UsageError) as error:
        clips.read_labels(folder)
    said = str(error.value).splitlines()
    assert len(said) == len(rows)
    for number, (line, words) in enumerate(zip(said, rows.values(), strict=True), 2):
        assert f"labels.csv:{number}: " in line
        assert words in line


@pytest.mark.parametrize("header", [
    "clip_id,path", "path,clip_id,format,subtype,sr,channels,frames"])
def test_another_header(folder, header):
    (folder / "clips.csv").write_text(header + "\n")
    with pytest.raises(UsageError, match=r"clips.csv:1: needs the columns clip_id,path,"):
        clips.read_clips(folder)


@pytest.mark.parametrize(("change", "words"), [
    ({"classes": []}, "classes"), ({"classes": ["a", "a"]}, "classes"),
    ({"classes": "ab"}, "classes"), ({"classes": [1]}, "classes"),
    ({"classes": [""]}, "classes"), ({"layout": "x"}, "layout"),
    ({"label_mode": "both"}, "known: multi, single"), ({"root": 3}, "root"),
    ({"root": ""}, "root"),
    ({"extra": 1}, "needs the keys"), ({"layout": ["csv"]}, "layout"),
])
def test_damaged_dataset(folder, change, words):
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}))
    with pytest.raises(UsageError) as error:
        clips.read_clips(folder)
    assert words in str(error.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff", b"{}", b"[" * 100_000])
def test_dataset_that_is_none(folder, data):
    (folder / "dataset.json").write_bytes(data)
    with pytest.raises(UsageError, match="Run prepare again"):
        clips.read_clips(folder)


def test_all_of_dataset_is_named(folder):
    (folder / "dataset.json").write_text(
        json.dumps({"root": "", "layout": "x", "classes": [], "label_mode": "y"}))
    with pytest.raises(UsageError) as error:
        clips.read_dataset(folder)
    assert len(str(error.value).splitlines()) == 4
