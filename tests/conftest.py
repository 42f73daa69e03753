"""Tiny data sets of synthetic clips, and the stages run as commands or in this process."""

import contextlib
import importlib
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import soundfile

from pipeline.audio import decode as audio
from pipeline.cli.settings import parse
from pipeline.dataset import tables as clips
from pipeline.runtime.errors import PipelineError

# The first call of a compiled loop waits for the compiler, and timings are no test's matter here.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

ROOT = Path(clips.__file__).parents[2]
PARAMS = ROOT / "params.yaml"
SR = 44100


def noise(seconds, sr=SR, seed=0, channels=1):
    """Noise between two silences, of another level and length each: no two clips are alike."""
    rng = np.random.default_rng(seed)
    n = max(1, round(seconds * sr))
    y = rng.standard_normal((n, channels)) * 0.1 * rng.uniform(0.3, 1)
    y[:n // 5] = y[n - n // 8:] = 0
    return (y[:, 0] if channels == 1 else y).astype(np.float32)


class DataSet:
    """A folder of clips, and what prepare writes of them."""

    def __init__(self, root):
        self.root = root
        self.audio = root / "audio"
        self.prepared = root / "prepared"
        self.audio.mkdir(parents=True)
        self.prepared.mkdir()

    def write(self, name, y, sr=SR, **options):
        """Write a clip, 16-bit unless `options` says otherwise; its path."""
        path = self.audio / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".wav":
            options.setdefault("subtype", "PCM_16")
        soundfile.write(path, y, sr, **options)
        return path

    def fill(self, n, seconds=0.2, first=0):
        """Write some clips of different lengths."""
        for i in range(first, first + n):
            self.write(f"{i:04d}.wav", noise(seconds * (0.4 + i % 7 / 10), seed=i))
        return self

    def prepare(self, **headers):
        """Write clips.csv and dataset.json of what is there now; `headers` overrides some."""
        result = []
        for path in sorted(p for p in self.audio.rglob("*") if p.is_file()):
            name = path.relative_to(self.audio).as_posix()
            header = headers.get(name) or audio.read_header(path)
            if header.format == "MP3":
                frames = audio.count_frames(path)
                header = audio.Header("MP3", header.subtype, header.sr, header.channels, frames)
            result.append(clips.Clip(name, f"audio/{name}", header))
        result.sort(key=lambda clip: clip.clip_id)
        clips.write_clips(self.prepared, result)
        dataset = clips.Dataset(self.root, "csv", ("Bark",), "multi")
        clips.write_dataset(self.prepared, dataset)
        return self

    def table(self):
        """fname,labels of what is there now: the folder can be given to prepare."""
        names = sorted(p.name for p in self.audio.iterdir())
        rows = "".join(f"{name},{'Bark' if i % 2 else 'Meow'}\n" for i, name in enumerate(names))
        (self.root / "train.csv").write_text("fname,labels\n" + rows, encoding="utf-8")
        return self


@pytest.fixture
def data_set(tmp_path):
    """An empty data set."""
    return DataSet(tmp_path / "data")


@pytest.fixture(scope="session")
def make_data_set(tmp_path_factory):
    """Make a data set that outlives a test."""
    return lambda: DataSet(tmp_path_factory.mktemp("data") / "data")


@dataclass(frozen=True)
class Ended:
    """How a stage ended, and what its closing line counts."""

    code: int
    out: str
    err: str

    @property
    def extracted(self):
        """Clips that were decoded."""
        found = re.search(r"^extract: (\d+) clips", self.out, re.MULTILINE)
        return int(found[1]) if found else 0

    @property
    def reused(self):
        """Clips that earlier runs had."""
        found = re.search(r", (\d+) reused$", self.out, re.MULTILINE)
        return int(found[1]) if found else 0

    @property
    def nothing_to_do(self):
        return "extract: nothing to do" in self.out


@pytest.fixture(scope="session")
def stage_command():
    """The command line of a stage with this repository's settings, and its environment."""
    def command(stage, *flags):
        return [sys.executable, "-m", f"pipeline.{stage}", "--params", str(PARAMS),
                *map(str, flags)]

    command.environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return command


@pytest.fixture
def run_stage(tmp_path, stage_command):
    """Run a stage as users do, in a folder of its own; how it ended."""
    def run(stage, *flags, timeout=120, env=None, **options):
        done = subprocess.run(
            stage_command(stage, *flags), cwd=tmp_path, capture_output=True, text=True,
            timeout=timeout, env={**stage_command.environment, **(env or {})}, **options,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def call_stage():
    """Run a stage in this process, which takes a tenth of the time; how it ended."""
    def call(stage, *flags):
        if stage == "extract" and {"--jobs", 1} <= {*flags} and "--backend" not in flags:
            flags += ("--backend", "threading")  # else in one process beside this one
        module = importlib.import_module(f"pipeline.{stage}")
        argv = ["--params", str(PARAMS), *map(str, flags)]
        out, err, code = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                module.run(parse(stage, module.Settings, module.__doc__, argv))
            except PipelineError as error:
                code = error.exit_code
                print(f"{stage}: {error}", file=sys.stderr)
            except SystemExit as end:  # what argparse refuses
                code = end.code
        return Ended(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session")
def extract(call_stage):
    """Extract a data set into a folder in this process, with one job unless told otherwise."""
    def call(data, out, *flags):
        jobs = () if "--jobs" in flags else ("--jobs", 1)
        return call_stage("extract", "--data", data.prepared, "--out", out, *jobs, *flags)

    return call


@pytest.fixture(scope="session")
def stores_of():
    """The bytes of every store in a folder, by name."""
    return lambda folder: {p.name: p.read_bytes() for p in sorted(folder.glob("*.h5"))}


@pytest.fixture(scope="session")
def leftovers_in():
    """The names of partial files, journals and the like in a folder of stores."""
    known = {".lock", "sources.csv", "problems.csv", "headers.csv", "folds.txt", "prepared"}
    return lambda folder: sorted(
        p.name for p in folder.iterdir() if p.name not in known and p.suffix != ".h5"
    )


@pytest.fixture(scope="session")
def tone():
    """Synthetic clips: ``tone(seconds, sr=…, seed=…, channels=…)``."""
    return noise


@pytest.fixture(scope="session", autouse=True)
def _compiled_once():
    """Where nothing is compiled yet, a short run would print its progress while it waits."""
    from features.mfcc import Mfcc
    from features.signal.moments import moments_of

    frames = Mfcc()(np.zeros(4000, np.float32))
    for each in (frames, np.zeros(3, np.int16), np.zeros(3, np.float32)):
        moments_of(each)
