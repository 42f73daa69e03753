"""The layouts of data sets, as data: names of tables and folders, columns, splits, folds.

A new layout is one :class:`Layout` in :data:`LAYOUTS`, and nothing else:
:mod:`pipeline.dataset.location` finds it and :mod:`pipeline.dataset.listing` reads it by what is
declared here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

GET_DATA = (
    "Make the demo with `python -m pipeline.demo`, or get FSDKaggle2019 by "
    "`python -m pipeline.download fsdkaggle2019`: from Zenodo (doi 10.5281/zenodo.3612637) or from "
    "Kaggle (competition freesound-audio-tagging-2019)."
)

SUBMISSION, TRUTH = "sample_submission.csv", "test_post_competition.csv"
COLUMNS = {"fname": ("fname",), "labels": ("labels", "label")}
METADATA = ("metadata.csv", "metadata.jsonl")


@dataclass(frozen=True)
class SplitNames:
    """The names that the files of a split may have, the preferred ones first.

    Attributes
    ----------
    split : str
        ``curated``, ``noisy``, ``test``, or ``train`` where the column ``manually_verified`` says
        which of the first two.
    tables : tuple of str
        CSVs, in one of the layout's places; ``*`` in a name is the only table that fits.
    folders : tuple of str
        Folders of audio, relative to the data folder. The one beside the layout's first place comes
        first, and so on. ``{fold}`` is the row's cell of that column; ``*`` is the folder that has
        most of the clips.
    """

    split: str
    tables: tuple[str, ...]
    folders: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """How the files of a data set lie; to add one, add a value to :data:`LAYOUTS`.

    Attributes
    ----------
    name : str
        As in dataset.json.
    looks : str
        What it looks like, for the error about a folder of no layout.
    splits : tuple of SplitNames
    places : tuple of str
        Folders that the tables may be in, relative to the data folder; the preferred one first.
    columns : dict of str to tuple of str
        The columns of the clip's file name (``fname``) and of its labels (``labels``), by the names
        that the tables give them. Others keep their names: ``fold`` is the official fold of a
        training clip, ``usage`` the leaderboard of a test clip.
    subsets : dict of str to tuple of str
        Parts of the data set that have names: the column, and its cell in the rows of the part.
    shared : tuple of str
        Tables that other data sets have too: finding one does not identify the layout.
    marks : dict of str to sequence of str
        Columns that identify the layout, by the shared table that has them.
    known_bad : dict of str to str
        Curated clips that the organisers named as bad, and why.
    by_folder : bool
        Whether the splits are folders, each with a folder per class or a table of its own. A clip's
        id is its path then, because names need not differ.
    """

    name: str
    looks: str
    splits: tuple[SplitNames, ...]
    places: tuple[str, ...] = ("",)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: COLUMNS)
    subsets: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    marks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    known_bad: Mapping[str, str] = field(default_factory=dict)
    by_folder: bool = False


LAYOUTS = {layout.name: layout for layout in (
    # The competition's files, those of the release after it (doi 10.5281/zenodo.3612637), or both.
    Layout(
        "fsdkaggle2019", "train_curated.csv, train_noisy.csv and test_post_competition.csv",
        (
            SplitNames("curated", ("train_curated.csv", "train_curated_post_competition.csv"),
                       ("train_curated", "FSDKaggle2019.audio_train_curated")),
            SplitNames("noisy", ("train_noisy.csv", "train_noisy_post_competition.csv"),
                       ("train_noisy", "FSDKaggle2019.audio_train_noisy")),
            SplitNames("test", (TRUTH,), ("test", "FSDKaggle2019.audio_test")),
        ),
        places=("", "FSDKaggle2019.meta"),
        shared=(TRUTH,),
        marks={TRUTH: ("usage", "labels")},
        # "Detected corrupted files in the curated train set", https://zenodo.org/records/3612637
        known_bad={
            **dict.fromkeys(
                ("f76181c4.wav", "77b925c2.wav", "6a1f682a.wav", "c7db12aa.wav", "7752cc8a.wav"),
                "the organisers found its label wrong",
            ),
            "1d44b0bd.wav": "the organisers found no signal in it",
        },
    ),
    # Likewise (doi 10.5281/zenodo.2552860).
    Layout(
        "fsdkaggle2018", "train.csv with a column manually_verified",
        (
            SplitNames("train", ("train.csv", "train_post_competition.csv"),
                       ("audio_train", "FSDKaggle2018.audio_train")),
            SplitNames("test", (TRUTH, "test_post_competition_scoring_clips.csv"),
                       ("audio_test", "FSDKaggle2018.audio_test")),
        ),
        places=("", "FSDKaggle2018.meta"),
        shared=("train.csv", TRUTH),
        marks={"train.csv": ("manually_verified",), TRUTH: ("usage", "label")},
    ),
    # K. J. Piczak, doi 10.1145/2733373.2806390: 50 classes, 5 folds. ESC-10 is a subset of it.
    Layout(
        "esc50", "meta/esc50.csv beside audio/",
        (SplitNames("curated", ("esc50.csv",), ("audio",)),),
        places=("meta", ""),
        columns={"fname": ("filename",), "labels": ("category",)},
        subsets={"esc10": ("esc10", "True")},
    ),
    # J. Salamon, C. Jacoby and J. P. Bello, doi 10.1145/2647868.2655045: 10 classes, 10 folds.
    Layout(
        "urbansound8k", "metadata/UrbanSound8K.csv beside audio/fold1/ to audio/fold10/",
        (SplitNames("curated", ("UrbanSound8K.csv",), ("audio/fold{fold}", "fold{fold}")),),
        places=("metadata", ""),
        columns={"fname": ("slice_file_name",), "labels": ("class",)},
    ),
    # A folder per class, as keras.utils.audio_dataset_from_directory and Hugging Face's audiofolder
    # read it, with the latter's names of splits and its metadata.
    Layout(
        "audiofolder", "CLASS/a.wav, or train/CLASS/a.wav and test/CLASS/a.wav, or metadata.csv "
        "with the columns file_name and label",
        (
            SplitNames("curated", METADATA, ("",)),
            SplitNames("curated", METADATA, ("train", "training")),
            SplitNames("curated", METADATA, ("validation", "valid", "val", "dev")),
            SplitNames("test", METADATA, ("test", "testing", "eval", "evaluation")),
        ),
        columns={"fname": ("file_name",), "labels": ("labels", "label")},
        shared=METADATA,
        marks=dict.fromkeys(METADATA, ("file_name",)),
        by_folder=True,
    ),
    Layout(
        "csv", "a CSV with the columns fname, labels (or label) and perhaps fold beside a folder "
        "of audio",
        (SplitNames("curated", ("*.csv",), ("*",)),),
    ),
)}
