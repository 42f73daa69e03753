"""Clips that crash their worker: named, and the others are extracted as if nothing had happened."""

import errno
import os
from pathlib import Path

import pytest

from pipeline.audio.file_header import Header
from pipeline.extraction import decoding, worker
from pipeline.extraction.decoding import decode
from pipeline.extraction.worker import ClipResult, ClipTask
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.problems import read_csv
from pipeline.store.reader import open_store

# What a decoder does to its process when a file makes it crash.
DEADLY = """
import os, signal, soundfile
_real = soundfile.SoundFile.__init__
def init(self, file, *args, **options):
    if isinstance(file, bytes) and file.endswith(b"0001.wav"):
        os.kill(os.getpid(), signal.SIGSEGV)
    _real(self, file, *args, **options)
soundfile.SoundFile.__init__ = init
"""


def test_a_clip_that_crashes_its_worker_is_a_problem_like_any_other(
    run_stage, stage_command, data_set, extract, tmp_path
):
    data_set.fill(3, seconds=0.05).prepare()
    (tmp_path / "deadly").mkdir()
    (tmp_path / "deadly" / "sitecustomize.py").write_text(DEADLY)
    flags = ("--features", "waveform", "--allow-failures", 1)
    path = os.pathsep.join((str(tmp_path / "deadly"), stage_command.environment["PYTHONPATH"]))
    ended = run_stage("extract", "--data", data_set.prepared, "--out", "s", "--jobs", 1,
                      *flags, env={"PYTHONPATH": path})
    assert (ended.code, ended.extracted) == (0, 2)
    [problem] = read_csv(tmp_path / "s" / "problems.csv")
    assert (problem.where, problem.reason) == ("0001.wav", "crash")
    assert problem.found == "decoding it, alone, killed the worker (SIGSEGV)"
    store = open_store(tmp_path / "s" / "waveform.h5")
    assert list(store) == ["0000.wav", "0002.wav"]
    assert [e.clip_id for e in store.contents.excluded] == ["0001.wav"]
    # Left out while the file is the same: it kills no other worker.
    assert extract(data_set, tmp_path / "s", *flags).nothing_to_do


def extract_rows(rows, deadly, *, jobs):
    """Rows in batches of three, some of which kill their worker; what comes back, by row."""
    def extract_batch(batch):
        for task in batch:
            if task.index in deadly:
                os.kill(os.getpid(), 9)
        return [ClipResult(t.index, "", 0, 0, t.seconds, None) for t in batch]

    def task(i):
        header = Header("WAV", "PCM_16", 10, 1, 10)
        return ClipTask(i, f"clip-{i}", Path(f"/nowhere/{i}"), header, {})

    batches = [rows[i:i + 3] for i in range(0, len(rows), 3)]
    results = [r for batch in decode(extract_batch, batches, task, jobs=jobs, backend="loky")
               for r in batch]
    assert sorted(r.index for r in results) == rows
    return {r.index: r.problem for r in results}


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_other_clip_comes_once(jobs):
    problems = extract_rows(list(range(30)), {0, 7}, jobs=jobs)
    assert {i for i, problem in problems.items() if problem} == {0, 7}
    assert problems[7].where == "clip-7"
    assert problems[7].reason == "crash"


def test_workers_that_always_die_are_not_the_clips_fault(monkeypatch):
    monkeypatch.setattr(decoding, "_MOST_DEATHS", 2)
    with pytest.raises(PipelineError, match=r"2 workers in a row were killed.*clip-1, clip-2"):
        extract_rows(list(range(6)), {1, 2, 3}, jobs=1)


@pytest.mark.parametrize(("number", "ends"), [
    (errno.EMFILE, True), (errno.ESTALE, True), (errno.EACCES, False), (errno.EIO, False),
])
def test_errors_that_are_not_the_files_end_the_run(
    data_set, extract, tmp_path, monkeypatch, number, ends
):
    """No clip is left out because a file server was away for a moment."""
    data_set.fill(1, seconds=0.05).prepare()

    def digest_of(path):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(worker, "digest_of", digest_of)
    flags = ("--features", "waveform", "--allow-failures", 1)
    if ends:
        with pytest.raises(OSError, match=r"0000\.wav") as caught:
            extract(data_set, tmp_path / "s", *flags)
        assert caught.value.errno == number
    else:
        ended = extract(data_set, tmp_path / "s", *flags)
        assert ended.code == 2
        assert "every one of them is bad" in ended.err
