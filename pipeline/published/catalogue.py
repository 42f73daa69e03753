"""Data sets that can be downloaded, as data.

Licences and durations are those of the publishers' own descriptions: the README.md in
FSDKaggle2019.doc.zip and FSDKaggle2018.doc.zip, and README.md of the repository karolpiczak/ESC-50.

There are no checksums here. Zenodo's record of a data set has the name, the size and the MD5 of
each file, and a published version does not change: they are read from there. ESC-50 is published
without checksums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Name = Literal["fsdkaggle2019", "fsdkaggle2018", "esc10", "esc50"]
Source = Literal["publisher", "kaggle"]

BYTES_PER_HOUR = 3600 * 44_100 * 2  # all of them are 44.1 kHz, mono, 16 bits


@dataclass(frozen=True)
class PublishedDataset:
    """A data set and where it is published.

    Attributes
    ----------
    title : str
    licence : str
        One sentence.
    reference : str
        Address of the description, to cite.
    hours : float
        Duration of all clips.
    expected : tuple of str
        Files and folders that must be there after unpacking.
    zenodo : int, optional
        Number of the Zenodo record with its files.
    archive : str, optional
        Address of its one archive, if it is not on Zenodo.
    archive_bytes : int, optional
        About how large that archive is, because its server does not say.
    subset : str, optional
        The true/false column of ``meta/esc50.csv`` that selects the clips to unpack.
    competition : str, optional
        Its name on Kaggle.
    """

    title: str
    licence: str
    reference: str
    hours: float
    expected: tuple[str, ...]
    zenodo: int | None = None
    archive: str | None = None
    archive_bytes: int | None = None
    subset: str | None = None
    competition: str | None = None


ESC50_TABLE = "meta/esc50.csv"
_ESC50 = "https://github.com/karolpiczak/ESC-50"

DATASETS: dict[Name, PublishedDataset] = {
    "fsdkaggle2019": PublishedDataset(
        "FSDKaggle2019",
        "CC BY 4.0 as a whole; each clip has its own: CC0, CC BY, CC BY-NC or CC Sampling+ "
        "(curated, test), CC BY or CC BY-SA (noisy). The tables name them.",
        "https://doi.org/10.5281/zenodo.3612637",
        hours=10.5 + 80 + 12.9,
        expected=(
            "FSDKaggle2019.meta/train_curated_post_competition.csv",
            "FSDKaggle2019.meta/train_noisy_post_competition.csv",
            "FSDKaggle2019.meta/test_post_competition.csv",
            "FSDKaggle2019.audio_train_curated", "FSDKaggle2019.audio_train_noisy",
            "FSDKaggle2019.audio_test",
        ),
        zenodo=3612637,
        competition="freesound-audio-tagging-2019",
    ),
    "fsdkaggle2018": PublishedDataset(
        "FSDKaggle2018",
        "CC BY 4.0 as a whole; each clip has its own Creative Commons licence. "
        "The tables name them.",
        "https://doi.org/10.5281/zenodo.2552860",
        hours=18 + 2,
        expected=(
            "FSDKaggle2018.meta/train_post_competition.csv",
            "FSDKaggle2018.meta/test_post_competition_scoring_clips.csv",
            "FSDKaggle2018.audio_train", "FSDKaggle2018.audio_test",
        ),
        zenodo=2552860,
        competition="freesound-audio-tagging",
    ),
    "esc50": PublishedDataset(
        "ESC-50",
        "CC BY-NC 3.0; the clips of ESC-10 are CC BY. The file LICENSE has the attributions.",
        _ESC50,
        hours=2000 * 5 / 3600,
        expected=(ESC50_TABLE, "audio", "LICENSE"),
        archive=_ESC50 + "/archive/master.zip",
        archive_bytes=600_000_000,
    ),
    "esc10": PublishedDataset(
        "ESC-10",
        "CC BY. The file LICENSE has the attributions.",
        _ESC50,
        hours=400 * 5 / 3600,
        expected=(ESC50_TABLE, "audio", "LICENSE"),
        archive=_ESC50 + "/archive/master.zip",
        archive_bytes=600_000_000,
        subset="esc10",
    ),
}
