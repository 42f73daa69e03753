"""When a run's precision is known to be slow, and what is said then."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from pipeline.runtime.choices import Precision
from pipeline.training.slow_precision import has_gpu, precision_note

AVX2 = frozenset({"sse2", "avx", "avx2"})
AVX512 = AVX2 | {"avx512f", "avx512bw"}
ARM = frozenset({"neon", "fp-armv8"})


@pytest.mark.parametrize(("precision", "sets", "cost"), [
    ("mixed_bfloat16", AVX2, "bfloat16 (AMX or AVX512-BF16). A step takes up to ten times"),
    ("mixed_bfloat16", AVX512, "bfloat16 (AMX or AVX512-BF16). A step takes up to ten times"),
    ("mixed_float16", AVX2, "float16 (AVX512-FP16). A step takes up to four times"),
    # Sapphire Rapids has the second, Cooper Lake and Zen 4 have not.
    ("mixed_float16", AVX512 | {"avx512bf16", "amx-bf16"}, "float16 (AVX512-FP16)"),
])
def test_a_processor_without_the_instructions(precision, sets, cost):
    note = precision_note(precision, sets, gpu=False)
    assert note.startswith(f"{precision} is slow here: there is no GPU, ")
    assert cost in note
    assert note.endswith("as long as with --precision float32")


@pytest.mark.parametrize(("precision", "more"), [
    ("mixed_bfloat16", {"avx512bf16"}), ("mixed_bfloat16", {"amx-bf16"}),
    ("mixed_bfloat16", {"avxneconvert"}), ("mixed_float16", {"avx512fp16"}),
    ("mixed_float16", {"amx-fp16"}), ("float32", set()),
])
def test_a_processor_with_the_instructions(precision, more):
    assert precision_note(precision, AVX2 | more, gpu=False) is None


def test_nothing_is_said_of_gpus_and_of_processors_that_were_not_measured():
    for precision, sets in product(get_args(Precision), (AVX2, AVX512, ARM, frozenset())):
        assert precision_note(precision, sets, gpu=True) is None
        assert precision_note(precision, sets - {"sse2"}, gpu=False) is None


def test_a_gpu_is_found_by_the_file_of_its_driver(tmp_path):
    devices = (tmp_path / "kfd", tmp_path / "nvidiactl")
    assert not has_gpu(devices)
    devices[1].touch()
    assert has_gpu(devices)
