"""Tell when a run's precision makes training slower than float32 would be. No TensorFlow.

oneDNN, which computes TensorFlow's convolutions on Intel's and AMD's processors, has fast code for
bfloat16 from AVX512-BF16 on (its guide, "Data types", puts AVX-512 without it at a third to a
quarter of float32's speed) and for float16 from AVX512-FP16 on. Below, TensorFlow converts the
numbers or takes its own loops: ``IsDataTypeSupportedByOneDNNOnThisCPU`` in its ``core/util`` has
the rules. Other processors, such as Arm's, were not measured, so nothing is said of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

# Of NVIDIA's driver, of AMD's, and of either under Windows.
_GPU_DEVICES = tuple(map(Path, ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")))


class _Numbers(NamedTuple):
    """What it takes to compute with a kind of numbers.

    Attributes
    ----------
    name : str
    sets : frozenset of str
        LLVM's names of instruction sets, one of which is enough.
    words : str
        Their usual names.
    cost : str
        Time of a step without them, in terms of float32's.
    """

    name: str
    sets: frozenset[str]
    words: str
    cost: str


# The costs are those of steps of `cnn` on two cores with AVX2 and no AVX-512.
_NUMBERS = {
    "mixed_bfloat16": _Numbers(
        "bfloat16", frozenset({"amx-bf16", "avx512bf16", "avxneconvert"}), "AMX or AVX512-BF16",
        "up to ten times"),
    "mixed_float16": _Numbers(
        "float16", frozenset({"amx-fp16", "avx512fp16"}), "AVX512-FP16", "up to four times"),
}


def has_gpu(devices: Iterable[Path] = _GPU_DEVICES) -> bool:
    """Return whether a GPU's driver is there, by its device files."""
    return any(device.exists() for device in devices)


def precision_note(precision: str, sets: Collection[str], *, gpu: bool) -> str | None:
    """Say what a precision costs on a processor that has no instructions for its numbers.

    Parameters
    ----------
    precision : {"float32", "mixed_bfloat16", "mixed_float16"}
    sets : collection of str
        Of the processor, see :func:`features.kernels.processor.instruction_sets`.
    gpu : bool
        Whether a GPU trains.

    Returns
    -------
    str or None
        None if nothing is known to be slow.

    Examples
    --------
    >>> precision_note("mixed_bfloat16", {"sse2", "avx2", "avx512bf16"}, gpu=False)
    >>> precision_note("mixed_float16", {"sse2", "avx2"}, gpu=False).partition(":")[0]
    'mixed_float16 is slow here'
    """
    numbers = _NUMBERS.get(precision)
    # Every processor of 64 bits by Intel and AMD has SSE2.
    if numbers is None or gpu or "sse2" not in sets or numbers.sets & set(sets):
        return None
    return (f"{precision} is slow here: there is no GPU, and the processor has no instructions for "
            f"{numbers.name} ({numbers.words}). A step takes {numbers.cost} as long as with "
            "--precision float32")
