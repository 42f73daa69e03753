"""The layouts: which clips with which labels, and every way in which a table can be wrong."""

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.dataset import listing as datasets
from pipeline.runtime.errors import UsageError

CLASSES = ("Bark", "Meow", "Bathtub_(filling_or_washing)")


def table(path: Path, header: str, *rows: tuple[str, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def kaggle2019(root: Path) -> Path:
    """The competition's files, with the truth that was published after it."""
    table(root / "train_curated.csv", "fname,labels", ("a.wav", "Bark"), ("b.wav", "Meow,Bark"))
    table(root / "train_noisy.csv", "fname,labels", ("c.wav", "Meow"))
    table(root / "sample_submission.csv", ",".join(("fname", *CLASSES)),
          ("t.wav", "0", "0", "0"), ("u.wav", "0", "0", "0"))
    table(root / "test_post_competition.csv", "fname,labels,usage,freesound_id,license",
          ("t.wav", "Bark,Meow", "Public", "1", "CC0"), ("u.wav", "Meow", "Private", "2", "CC0"))
    touch(root / "train_curated", "a.wav", "b.wav")
    touch(root / "train_noisy", "c.wav")
    touch(root / "test", "t.wav", "u.wav")
    return root


def zenodo2019(root: Path) -> Path:
    """The release after the competition."""
    meta = root / "FSDKaggle2019.meta"
    table(meta / "train_curated_post_competition.csv", "fname,labels,freesound_id,license",
          ("a.wav", "Bark", "1", "CC0"), ("b.wav", "Meow,Bark", "2", "CC0"))
    table(meta / "train_noisy_post_competition.csv", "fname,labels,flickr_video_URL,license",
          ("c.wav", "Meow", "http://x", "CC BY 2.0"))
    table(meta / "test_post_competition.csv", "fname,labels,usage,freesound_id,license",
          ("t.wav", "Bark,Meow", "Public", "1", "CC0"), ("u.wav", "Meow", "Private", "2", "CC0"))
    (meta / "vocabulary.csv").write_text("0,Bark\n1,Bathtub_(filling_or_washing)\n2,Meow\n")
    touch(root / "FSDKaggle2019.audio_train_curated", "a.wav", "b.wav")
    touch(root / "FSDKaggle2019.audio_train_noisy", "c.wav")
    touch(root / "FSDKaggle2019.audio_test", "t.wav", "u.wav")
    return root


def rows(listing):
    return [(c.path, c.labels, c.split, c.fold, c.usage) for c in listing.clips]


def reasons(listing):
    return [(p.where, p.reason) for p in listing.problems]


def test_competition(tmp_path):
    listing = datasets.read(kaggle2019(tmp_path))
    assert (listing.layout, listing.classes) == ("fsdkaggle2019", CLASSES)
    assert rows(listing) == [
        ("train_curated/a.wav", ("Bark",), "curated", None, ""),
        ("train_curated/b.wav", ("Meow", "Bark"), "curated", None, ""),
        ("train_noisy/c.wav", ("Meow",), "noisy", None, ""),
        ("test/t.wav", ("Bark", "Meow"), "test", None, "Public"),
        ("test/u.wav", ("Meow",), "test", None, "Private"),
    ]
    assert [c.where for c in listing.clips][:3] == [
        "train_curated.csv:2", "train_curated.csv:3", "train_noisy.csv:2"]
    assert (listing.problems, listing.notes, listing.rejected) == ([], [], set())


def test_release(tmp_path):
    listing = datasets.read(zenodo2019(tmp_path))
    assert (listing.layout, listing.classes) == ("fsdkaggle2019", tuple(sorted(CLASSES)))
    ours, theirs = rows(listing), rows(datasets.read(kaggle2019(tmp_path / "k")))
    assert [r[1:] for r in ours] == [r[1:] for r in theirs]
    assert [r[0] for r in ours] == [
        "FSDKaggle2019.audio_train_curated/a.wav", "FSDKaggle2019.audio_train_curated/b.wav",
        "FSDKaggle2019.audio_train_noisy/c.wav", "FSDKaggle2019.audio_test/t.wav",
        "FSDKaggle2019.audio_test/u.wav",
    ]
    assert listing.clips[0].where == "FSDKaggle2019.meta/train_curated_post_competition.csv:2"
    assert (listing.problems, listing.notes) == ([], [])


def test_release_tables_beside_the_competitions_folders(tmp_path):
    zenodo2019(tmp_path)
    for name in ("train_curated", "train_noisy", "test"):
        (tmp_path / f"FSDKaggle2019.audio_{name}").rename(tmp_path / name)
    listing = datasets.read(tmp_path)
    assert {c.folder for c in listing.clips} == {"train_curated", "train_noisy", "test"}
    assert listing.notes == []


def test_both_are_there(tmp_path):
    listing = datasets.read(zenodo2019(kaggle2019(tmp_path)))
    assert {c.folder for c in listing.clips} == {"train_curated", "train_noisy", "test"}
    assert len(listing.notes) == 6
    assert ("train_curated.csv is used, not FSDKaggle2019.meta/train_curated_post_competition.csv"
            in listing.notes)


def test_without_truth_the_test_labels_are_not_known(tmp_path):
    (kaggle2019(tmp_path) / "test_post_competition.csv").unlink()
    listing = datasets.read(tmp_path)
    assert rows(listing)[3:] == [("test/t.wav", (), "test", None, ""),
                                 ("test/u.wav", (), "test", None, "")]
    assert [c.where for c in listing.clips][3:] == [
        "sample_submission.csv:2", "sample_submission.csv:3"]


def test_truth_of_clips_that_are_not_to_submit(tmp_path):
    """The final download has 3,361 of the 4,481 test clips."""
    table(kaggle2019(tmp_path) / "sample_submission.csv", ",".join(("fname", *CLASSES)),
          ("t.wav", "0", "0", "0"))
    (tmp_path / "test" / "u.wav").unlink()
    listing = datasets.read(tmp_path)
    assert [c.clip_id for c in listing.clips] == ["a.wav", "b.wav", "c.wav", "t.wav"]
    assert listing.problems == []
    assert listing.notes == ["1 test clips with known labels are neither in sample_submission.csv "
                             "nor in test/: left out"]
    touch(tmp_path / "test", "u.wav")
    assert datasets.read(tmp_path).clips[-1].clip_id == "u.wav"


def test_without_noisy_and_test(tmp_path):
    kaggle2019(tmp_path)
    for name in ("train_noisy", "test"):
        for path in (tmp_path / name).iterdir():
            path.unlink()
        (tmp_path / name).rmdir()
    (tmp_path / "train_noisy.csv").unlink()
    (tmp_path / "test_post_competition.csv").unlink()
    listing = datasets.read(tmp_path)
    assert [c.clip_id for c in listing.clips] == ["a.wav", "b.wav"]
    assert listing.classes == CLASSES
    assert listing.notes == [
        "there is no folder test/: the 2 test clips of sample_submission.csv are left out"]


def test_table_without_its_folder(tmp_path):
    (kaggle2019(tmp_path) / "train_noisy" / "c.wav").unlink()
    (tmp_path / "train_noisy").rmdir()
    listing = datasets.read(tmp_path)
    assert [c.path for c in listing.clips if c.split == "noisy"] == ["train_noisy/c.wav"]
    assert any("no folder train_noisy/ for the 1 clips" in note for note in listing.notes)


def test_folder_without_its_table(tmp_path):
    (kaggle2019(tmp_path) / "train_noisy.csv").unlink()
    listing = datasets.read(tmp_path)
    assert not [c for c in listing.clips if c.split == "noisy"]
    assert listing.notes == ["train_noisy/ is left out: no table names its clips"]


def test_classes_without_sample_submission_are_sorted(tmp_path):
    (kaggle2019(tmp_path) / "sample_submission.csv").unlink()
    assert datasets.read(tmp_path).classes == ("Bark", "Meow")


def test_test_set_alone(tmp_path):
    table(tmp_path / "test_post_competition.csv", "fname,labels,usage", ("t.wav", "Bark", "Public"))
    touch(tmp_path / "test", "t.wav")
    listing = datasets.read(tmp_path)
    assert (listing.layout, listing.classes) == ("fsdkaggle2019", ("Bark",))
    assert rows(listing) == [("test/t.wav", ("Bark",), "test", None, "Public")]


def test_2018(tmp_path):
    table(tmp_path / "train.csv", "fname,label,manually_verified", ("a.wav", "Bark", "1"),
          ("b.wav", "Meow", "0"))
    table(tmp_path / "sample_submission.csv", "fname,label", ("t.wav", "Laughter Hi-Hat Flute"),
          ("u.wav", "Laughter Hi-Hat Flute"))
    touch(tmp_path / "audio_train", "a.wav", "b.wav")
    touch(tmp_path / "audio_test", "t.wav", "u.wav")
    listing = datasets.read(tmp_path)
    assert (listing.layout, listing.classes) == ("fsdkaggle2018", ("Bark", "Meow"))
    assert rows(listing) == [
        ("audio_train/a.wav", ("Bark",), "curated", None, ""),
        ("audio_train/b.wav", ("Meow",), "noisy", None, ""),
        ("audio_test/t.wav", (), "test", None, ""),
        ("audio_test/u.wav", (), "test", None, ""),
    ]
    table(tmp_path / "test_post_competition.csv", "fname,label,usage", ("t.wav", "Bark", "Private"),
          ("u.wav", "None", "Ignored"))
    listing = datasets.read(tmp_path)
    assert rows(listing)[2:] == [("audio_test/t.wav", ("Bark",), "test", None, "Private"),
                                 ("audio_test/u.wav", (), "test", None, "")]
    assert listing.problems == []


def test_2018_release(tmp_path):
    meta = tmp_path / "FSDKaggle2018.meta"
    table(meta / "train_post_competition.csv", "fname,label,manually_verified,freesound_id,license",
          ("a.wav", "Bark", "1", "1", "CC0"), ("b.wav", "Meow", "0", "2", "CC0"))
    table(meta / "test_post_competition_scoring_clips.csv",
          "fname,label,usage,freesound_id,license",
          ("t.wav", "Meow", "Public", "3", "CC0"))
    touch(tmp_path / "FSDKaggle2018.audio_train", "a.wav", "b.wav")
    touch(tmp_path / "FSDKaggle2018.audio_test", "t.wav")
    listing = datasets.read(tmp_path)
    assert listing.layout == "fsdkaggle2018"
    assert [c.path for c in listing.clips] == [
        "FSDKaggle2018.audio_train/a.wav", "FSDKaggle2018.audio_train/b.wav",
        "FSDKaggle2018.audio_test/t.wav"]


def test_2018_flag_that_is_none(tmp_path):
    table(tmp_path / "train.csv", "fname,label,manually_verified", ("a.wav", "Bark", "yes"),
          ("b.wav", "Meow", "1"))
    listing = datasets.read(tmp_path)
    assert reasons(listing) == [("train.csv:2", "bad-row")]
    assert listing.rejected == {"a.wav"}


def test_both_years_in_one_folder(tmp_path):
    table(kaggle2019(tmp_path) / "train_post_competition.csv", "fname,label,manually_verified")
    with pytest.raises(UsageError, match="holds both fsdkaggle2019 and fsdkaggle2018"):
        datasets.read(tmp_path)


@pytest.mark.parametrize("column", ["label", "labels"])
def test_own_table(tmp_path, column):
    table(tmp_path / "meta.csv", f"note,fold,{column},fname", ("x", "3", "Meow", "b.wav"),
          ("", "1", "Bark", "a.wav"))
    touch(tmp_path / "audio", "a.wav", "b.wav")
    for data in (tmp_path, tmp_path / "meta.csv"):
        listing = datasets.read(data)
        assert (listing.root, listing.layout) == (tmp_path, "csv")
        assert listing.classes == ("Bark", "Meow")
        assert rows(listing) == [("audio/b.wav", ("Meow",), "curated", 3, ""),
                                 ("audio/a.wav", ("Bark",), "curated", 1, "")]


@pytest.mark.parametrize(("folder", "name", "path"), [
    ("wavs", "a.wav", "wavs/a.wav"), ("", "a.wav", "a.wav"), ("x/y", "x/y/a.wav", "x/y/a.wav"),
    ("x/y", "y/a.wav", "x/y/a.wav"),
])
def test_own_table_finds_its_folder(tmp_path, folder, name, path):
    table(tmp_path / "meta.csv", "fname,label", (name, "Bark"), ("other.wav", "Bark"))
    touch(tmp_path / folder, "a.wav")
    touch(tmp_path / "zzz", "unrelated.wav")
    assert datasets.read(tmp_path).clips[0].path == path


def test_own_table_with_no_file_at_all(tmp_path):
    table(tmp_path / "meta.csv", "fname,label", ("a.wav", "Bark"))
    assert datasets.read(tmp_path).clips[0].path == "a.wav"
    (tmp_path / "wavs").mkdir()
    assert datasets.read(tmp_path).clips[0].path == "wavs/a.wav"
    (tmp_path / "audio").mkdir()
    assert datasets.read(tmp_path).clips[0].path == "audio/a.wav"


def test_own_table_with_two_folders_that_fit(tmp_path):
    table(tmp_path / "meta.csv", "fname,label", ("a.wav", "Bark"))
    touch(tmp_path / "audio", "a.wav")
    touch(tmp_path / "audio16k", "a.wav")
    with pytest.raises(UsageError, match="several folders: audio, audio16k"):
        datasets.read(tmp_path)


def test_two_own_tables(tmp_path):
    for name in ("dev.csv", "eval.csv"):
        table(tmp_path / name, "fname,labels", ("a.wav", "Bark"))
    with pytest.raises(UsageError, match=r"several tables fit: dev.csv, eval.csv"):
        datasets.read(tmp_path)
    assert len(datasets.read(tmp_path / "eval.csv").clips) == 1


def test_own_table_with_sample_submission_takes_its_order(tmp_path):
    table(tmp_path / "meta.csv", "fname,label", ("a.wav", "Bark"))
    table(tmp_path / "sample_submission.csv", "fname,Meow,Bark", ("t.wav", "0", "0"))
    listing = datasets.read(tmp_path)
    assert listing.classes == ("Meow", "Bark")
    assert [c.clip_id for c in listing.clips] == ["a.wav"]


@pytest.mark.parametrize("there", [False, True])
def test_nothing_there_says_where_data_come_from(tmp_path, there):
    folder = tmp_path / "data"
    if there:
        folder.mkdir()
    with pytest.raises(UsageError) as error:
        datasets.read(folder)
    for words in ("python -m pipeline.demo", "10.5281/zenodo.3612637",
                  "freesound-audio-tagging-2019"):
        assert words in str(error.value)


def test_packed_data(tmp_path):
    (tmp_path / "train_curated.zip").write_bytes(b"PK")
    with pytest.raises(UsageError, match=r"unpack train_curated.zip first"):
        datasets.read(tmp_path)


def test_tables_that_are_not_understood_are_all_named(tmp_path):
    table(tmp_path / "a.csv", "file,class", ("a.wav", "Bark"))
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError) as error:
        datasets.read(tmp_path)
    assert "a.csv:1: no column fname, no column labels or label (it has: file, class)" in str(
        error.value)
    assert "b.csv: looks like UTF-16" in str(error.value)


@pytest.mark.parametrize(("name", "data", "words"), [
    ("train_curated.csv", b"", "empty"),
    ("train_curated.csv", b"fname,label_\n", "no column labels"),
    ("train_noisy.csv", b"name,labels\n", "no column fname"),
    ("train_curated.csv", b"fname,labels\n\xff\n", "train_curated.csv:2: not UTF-8"),
    ("train_curated.csv", b'fname,labels\na.wav,"Bark\n', "quote"),
    ("sample_submission.csv", b"name,Bark\n", "needs one column fname"),
    ("sample_submission.csv", b"fname,Bark,Bark\n", "['Bark']"),
    ("sample_submission.csv", b"fname,Bark,\n", "['']"),
    ("test_post_competition.csv", b"fname\n", "no column labels"),
])
def test_broken_tables(tmp_path, name, data, words):
    (kaggle2019(tmp_path) / name).write_bytes(data)
    with pytest.raises(UsageError) as error:
        datasets.read(tmp_path)
    assert words in str(error.value)
    assert name in str(error.value)


def test_a_folder_in_the_place_of_a_table(tmp_path):
    (kaggle2019(tmp_path) / "train_noisy.csv").unlink()
    (tmp_path / "train_noisy.csv").mkdir()
    with pytest.raises(UsageError, match="not a file"):
        datasets.read(tmp_path)


def test_no_rows(tmp_path):
    table(tmp_path / "meta.csv", "fname,label")
    with pytest.raises(UsageError, match="name no clip"):
        datasets.read(tmp_path)


def test_2018_without_its_flag_is_an_own_table(tmp_path):
    table(tmp_path / "train.csv", "fname,label", ("a.wav", "Bark"))
    touch(tmp_path / "audio_train", "a.wav")
    listing = datasets.read(tmp_path)
    assert (listing.layout, listing.clips[0].path) == ("csv", "audio_train/a.wav")


@pytest.mark.parametrize(("row", "reason", "words"), [
    (("x.wav", ""), "no-label", "x.wav has no label"),
    (("x.wav", "  "), "no-label", "x.wav has no label"),
    (("x.wav", "Brak"), "unknown-label", "x.wav has 'Brak'"),
    (("x.wav", "Bark,bark"), "unknown-label", "'bark'"),
    (("x.wav", "Bark,Bark"), "bad-row", "one of them twice"),
    (("x.wav", "Bark,"), "bad-row", "'Bark,'"),
    (("x.wav", "Bark", "Meow"), "bad-row", "3 cells, the header has 2"),
    (("x.wav",), "bad-row", "1 cells"),
    (("", "Bark"), "bad-row", "fname is ''"),
    (("../x.wav", "Bark"), "outside", "'..'"),
    (("/x.wav", "Bark"), "outside", "absolute"),
    (("..\\x.wav", "Bark"), "outside", "backslash"),
    (("a.wav", "Bark"), "duplicate", "a.wav is in train_curated.csv:2 already"),
    (("c.wav", "Bark"), "duplicate", "train_curated.csv:4"),
    (("t.wav", "Bark"), "duplicate", "train_curated.csv:4"),
])
def test_bad_rows(tmp_path, row, reason, words):
    kaggle2019(tmp_path)
    table(tmp_path / "train_curated.csv", "fname,labels", ("a.wav", "Bark"), ("b.wav", "Meow"), row)
    listing = datasets.read(tmp_path)
    (problem,) = listing.problems
    assert problem.reason == reason
    assert words in problem.found
    assert problem.advice
    if row[0] in ("c.wav", "t.wav"):
        assert problem.where in ("train_noisy.csv:2", "test_post_competition.csv:2")
    else:
        assert problem.where == "train_curated.csv:4"
    named = {"x.wav", "a.wav", "c.wav", "t.wav"} & {row[0]}
    usable = reason not in ("outside",) and len(row) == 2 and row[0]
    assert listing.rejected == (named if usable else set())
    assert {"b.wav", "u.wav"} <= {c.clip_id for c in listing.clips}


def test_close_matches_are_offered(tmp_path):
    table(kaggle2019(tmp_path) / "train_noisy.csv", "fname,labels",
          ("c.wav", "Bathtub_(filling_or_washing"), ("d.wav", "Zither"))
    found, other = datasets.read(tmp_path).problems
    assert found.advice == "Did you mean Bathtub_(filling_or_washing)?"
    assert "sample_submission.csv" in found.found
    assert "Did you mean" not in other.advice


def test_unknown_test_labels_and_usages(tmp_path):
    table(kaggle2019(tmp_path) / "test_post_competition.csv", "fname,labels,usage",
          ("t.wav", "Barking", "Public"), ("u.wav", "Bark", "public"))
    assert sorted(reasons(datasets.read(tmp_path))) == [
        ("test_post_competition.csv:2", "unknown-label"),
        ("test_post_competition.csv:3", "bad-row"),
    ]


def test_bad_names_in_sample_submission(tmp_path):
    table(kaggle2019(tmp_path) / "sample_submission.csv", ",".join(("fname", *CLASSES)),
          ("t.wav", "0", "0", "0"), ("../u.wav", "0", "0", "0"), ("t.wav", "0", "0", "0"))
    (tmp_path / "test_post_competition.csv").unlink()
    assert reasons(datasets.read(tmp_path)) == [
        ("sample_submission.csv:3", "outside"), ("sample_submission.csv:4", "duplicate")]


@pytest.mark.parametrize("fold", ["", "x", "-1", "1.0"])
def test_bad_folds(tmp_path, fold):
    table(tmp_path / "meta.csv", "fname,label,fold", ("a.wav", "Bark", "1"),
          ("b.wav", "Bark", fold))
    assert reasons(datasets.read(tmp_path)) == [("meta.csv:3", "bad-fold")]


def test_everything_wrong_is_told_at_once(tmp_path):
    table(tmp_path / "meta.csv", "fname,label", ("a.wav", ""), ("../b.wav", "Bark"), ("c.wav",),
          ("d.wav", "Bark"), ("d.wav", "Bark"))
    assert reasons(datasets.read(tmp_path)) == [
        ("meta.csv:2", "no-label"), ("meta.csv:3", "outside"), ("meta.csv:4", "bad-row"),
        ("meta.csv:6", "duplicate"),
    ]


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["a.wav", "b.wav", "../a.wav", "Bark", "Bark,Meow", "1", "0", "\\", "/", "a\0.wav"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=6))
def test_any_cells_end_as_clips_or_problems(tmp_path, cells):
    """No row gets lost, and none that is accepted leaves the folder."""
    with open(tmp_path / "meta.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["fname", "labels", "fold"], *cells])
    try:
        listing = datasets.read(tmp_path)
    except UsageError:
        assert not any(len(row) == 3 for row in cells)
        return
    told = {p.where for p in listing.problems}
    clean = [c for c in listing.clips if c.where not in told]
    lines = {c.where for c in listing.clips} | told
    assert len(lines) == len(cells)
    for clip in clean:
        assert clip.labels
        assert clip.fold is not None
        assert (tmp_path / clip.path).resolve().is_relative_to(tmp_path.resolve())
    good = {c.clip_id for c in clean} - listing.rejected
    assert len([c for c in clean if c.clip_id in good]) == len(good)
