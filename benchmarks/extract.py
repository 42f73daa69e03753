"""Whole extractions, side by side in one run: this pipeline against the usual ways.

  python benchmarks/extract.py DATA [--runs 3] [--torchaudio-python PATH]

DATA is a data set's folder of 44.1 kHz wavs. Every command is a whole process, start-up counted,
run in turn (A B C A B C …) so that a machine whose speed drifts is fair to all; stores are deleted
before each run. Prints medians and, run by run, how many times faster this pipeline is. torchaudio
may live in an environment of its own; without it that row is left out.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def seconds(command: list[str], scratch: Path) -> float:
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer", type=Path, default=ROOT / "benchmarks" / "peer.py")
    parser.add_argument("--shared-name", default="shared", help="how the peer calls that way")
    parser.add_argument("--torchaudio-python", help="an interpreter that has torchaudio")
    parser.add_argument("--scratch", type=Path, help="a folder with space for the stores")
    args = parser.parse_args()

    data = args.data.resolve()
    with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
        scratch = Path(folder) / "out"
        prepared = Path(folder) / "prepared"
        subprocess.run(
            [sys.executable, "-m", "pipeline.prepare", "--data", str(data), "--out",
             str(prepared)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
        )

        def ours(jobs: int, source: Path = data) -> list[str]:
            return [sys.executable, "-m", "pipeline.extract", "--data", str(source), "--out",
                    str(scratch), "--sr", "44100", "--jobs", str(jobs)]

        def peer(how: str, python: str = sys.executable) -> list[str]:
            return [python, str(args.peer), str(data), str(scratch / "peer.h5"), "--how", how]

        commands = {
            "extract, 2 jobs": ours(2),
            "extract, prepared, 2 jobs": ours(2, prepared),
            "extract, prepared, 1 job": ours(1, prepared),
            "librosa, 2 jobs": peer("librosa"),
            "librosa shared, 2 jobs": peer(args.shared_name),
        }
        if args.torchaudio_python:
            commands["torchaudio, 2 jobs"] = peer("torchaudio", args.torchaudio_python)
        times: dict[str, list[float]] = {name: [] for name in commands}
        for run in range(args.runs):
            for name, command in commands.items():
                times[name].append(seconds(command, scratch))
                print(f"run {run + 1}: {name}: {times[name][-1]:.1f} s", flush=True)

    base = times["extract, 2 jobs"]
    print("\n| command | median s | times `extract` | least to most |\n|---|---|---|---|")
    for name, each in times.items():
        ratios = [a / b for a, b in zip(each, base, strict=True)]
        print(f"| {name} | {statistics.median(each):.1f} | {statistics.median(ratios):.2f} "
              f"| {min(ratios):.2f} to {max(ratios):.2f} |")
    scaling = [
        a / b for a, b in zip(
            times["extract, prepared, 1 job"], times["extract, prepared, 2 jobs"], strict=True
        )
    ]
    print(f"\ntwo jobs against one: {statistics.median(scaling):.2f} times "
          f"({min(scaling):.2f} to {max(scaling):.2f})")


if __name__ == "__main__":
    main()
