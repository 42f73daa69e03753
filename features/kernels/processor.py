"""What this machine's processor can do, as LLVM reports it."""

from __future__ import annotations

import llvmlite.binding


def instruction_sets() -> frozenset[str]:
    """Return the processor's instruction sets by LLVM's names, such as ``avx512f``.

    Returns
    -------
    frozenset of str
        Empty where LLVM does not know the processor.
    """
    try:
        found = llvmlite.binding.get_host_cpu_features()
    except RuntimeError:
        return frozenset()
    return frozenset(name for name, present in found.items() if present)
