"""Vectors of float64 for compiled loops: as many lanes as a register of this processor has.

A compiler vectorizes a loop only if it can prove that its arrays do not overlap, and it cannot
for the passes of a transform. Here the vectors are explicit: each operation is one instruction for
all lanes, and a lane's numbers do not depend on the other lanes. The module uses Numba's extension
points (``numba.extending``) and LLVM's vector types, so setup.cfg bounds numba and llvmlite.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

from features.kernels.processor import instruction_sets


def _lanes() -> int:
    """Count the float64 in a register: 8 with AVX-512, 4 with AVX, 2 elsewhere."""
    sets = instruction_sets()
    return 8 if "avx512f" in sets else 4 if "avx" in sets else 2


LANES = _lanes()

_FLOAT64 = ir.VectorType(ir.DoubleType(), LANES)
_FLOAT32 = ir.VectorType(ir.FloatType(), LANES)
_FOUR = ir.VectorType(ir.FloatType(), 4)

# A product and a sum may become one fused instruction; no other reordering is allowed.
_FAST_MATH = ("contract",)


class Vector(types.Type):
    """Numba's name for a register of :data:`LANES` float64."""

    def __init__(self) -> None:
        super().__init__(name=f"Vector({LANES} x float64)")


vector = Vector()


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOAT64)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, to: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), to.as_pointer())


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Load ``array[index:index + LANES]``; float32 is widened. Bounds are not checked."""
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind = signature.args[0]
        wide = kind.dtype == types.float64
        array_, index_ = given
        at = _pointer(context, builder, kind, array_, index_, _FLOAT64 if wide else _FLOAT32)
        value = builder.load(at, align=8 if wide else 4)
        return value if wide else builder.fpext(value, _FLOAT64)

    return vector(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Set ``array[index:index + LANES] = value``, rounded for float32. Bounds are not checked."""
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind, (array_, index_, value_) = signature.args[0], given
        wide = kind.dtype == types.float64
        at = _pointer(context, builder, kind, array_, index_, _FLOAT64 if wide else _FLOAT32)
        builder.store(value_ if wide else builder.fptrunc(value_, _FLOAT32), at,
                      align=8 if wide else 4)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def transpose4(
    typing: Any, source: Any, start: Any, step: Any, target: Any, to: Any, stride: Any
) -> Any:
    """Transpose four runs of four float32, `step` apart, to columns `stride` apart.

    ``target[to + i * stride + j] = source[start + j * step + i]`` for i and j below 4.
    """
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        source_, start_, step_, target_, to_, stride_ = given

        def pointers(kind: Any, array: Any, first: Any, distance: Any) -> list[Any]:
            found = []
            for _ in range(4):
                found.append(_pointer(context, builder, kind, array, first, _FOUR))
                first = builder.add(first, distance)
            return found

        def pick(a: Any, b: Any, *lanes: int) -> Any:
            chosen = ir.Constant(ir.VectorType(ir.IntType(32), 4), list(lanes))
            return builder.shuffle_vector(a, b, chosen)

        runs = pointers(signature.args[0], source_, start_, step_)
        a, b, c, d = (builder.load(run, align=4) for run in runs)
        ab, cd = pick(a, b, 0, 4, 1, 5), pick(c, d, 0, 4, 1, 5)
        rest_ab, rest_cd = pick(a, b, 2, 6, 3, 7), pick(c, d, 2, 6, 3, 7)
        columns = (
            pick(ab, cd, 0, 1, 4, 5), pick(ab, cd, 2, 3, 6, 7),
            pick(rest_ab, rest_cd, 0, 1, 4, 5), pick(rest_ab, rest_cd, 2, 3, 6, 7),
        )
        for column, at in zip(
            columns, pointers(signature.args[3], target_, to_, stride_), strict=True
        ):
            builder.store(column, at, align=4)
        return context.get_dummy_value()

    index = types.intp
    return types.void(source, index, index, target, index, index), generate


@intrinsic
def bits_of(typing: Any, number: Any) -> Any:
    """Reinterpret a float32 as an int32."""
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.bitcast(given[0], ir.IntType(32))

    return types.int32(types.float32), generate


@intrinsic
def float_of(typing: Any, bits: Any) -> Any:
    """Reinterpret an int32 as a float32."""
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.bitcast(given[0], ir.FloatType())

    return types.float32(types.int32), generate


def _arithmetic(operation: Callable[..., Any], instruction: str) -> None:
    """Define ``operation(a, b)`` for two vectors, or a vector and a number."""
    @intrinsic
    def combine(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            sides = [
                value if kind is vector else _broadcast(builder, value)
                for value, kind in zip(given, signature.args, strict=True)
            ]
            return getattr(builder, instruction)(*sides, flags=_FAST_MATH)

        kinds = (kind if kind is vector else types.float64 for kind in (a, b))
        return vector(*kinds), generate

    @overload(operation)
    def choose(a, b):  # type: ignore[no-untyped-def]  # Numba compares the signatures
        if isinstance(a, Vector) or isinstance(b, Vector):
            return lambda a, b: combine(a, b)
        return None


def _broadcast(builder: Any, number: Any) -> Any:
    """Put a number into every lane."""
    undefined, lane = ir.Constant(_FLOAT64, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(undefined, number, ir.Constant(lane, 0))
    zeros = ir.Constant(ir.VectorType(lane, LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, zeros)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
