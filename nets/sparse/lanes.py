"""Vectors of 16 to 128 float32 numbers as values inside Numba functions, so that accumulators stay in registers.

Numba leaves vectors to LLVM's vectoriser, which keeps the sum of an inner loop over weights in memory. Written in
vectors, such a loop is what it should be: 128 sums are eight AVX-512 registers, and a weight is eight multiply-adds.

    total = zeros(128)
    for p in range(start, end):
        total = multiply_add(weights[p], load(total, x, at[p]), total)
    store(total, y, place)

Arrays are one-dimensional, indices count numbers and nothing checks them. The width of a vector is part of its type.
"""

from __future__ import annotations

from typing import Any

import numba.extending
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models

intrinsic: Any = numba.extending.intrinsic  # what it decorates takes one argument less than is written
FUSED = ("contract",)  # multiply-adds round once


class Lanes(types.Type):
    """The type of a vector of `width` numbers."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"Lanes({width})")


@numba.extending.register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, ir.VectorType(ir.FloatType(), kind.width))


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any, array: int, width: int) -> Any:
    """To `width` numbers of the array argument, from the index after it."""
    start = context.make_array(signature.args[array])(context, builder, arguments[array]).data
    place = builder.gep(start, [arguments[array + 1]])
    return builder.bitcast(place, ir.VectorType(ir.FloatType(), width).as_pointer())


def _shuffled(builder: Any, vector: Any, places: list[int]) -> Any:
    where = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), where)


def _everywhere(builder: Any, number: Any, width: int) -> Any:
    empty = ir.Constant(ir.VectorType(ir.FloatType(), width), ir.Undefined)
    return _shuffled(builder, builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0)), [0] * width)


def _added_product(builder: Any, a: Any, b: Any, total: Any) -> Any:
    return builder.fadd(builder.fmul(a, b, flags=FUSED), total, flags=FUSED)


@intrinsic
def fill(typing, width, number):  # type: ignore[no-untyped-def]
    """`width`, a literal, times the number."""
    if not isinstance(width, types.IntegerLiteral):
        return None
    kind = Lanes(width.literal_value)

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return _everywhere(builder, arguments[1], kind.width)

    return kind(width, types.float32), code


@intrinsic
def load(typing, like, array, index):  # type: ignore[no-untyped-def]
    """array[index : index + width], as wide as `like`."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.load(_pointer(context, builder, signature, arguments, 1, like.width), align=4)

    return like(like, array, types.intp), code


@intrinsic
def store(typing, vector, array, index):  # type: ignore[no-untyped-def]
    """array[index : index + width] = vector."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        builder.store(arguments[0], _pointer(context, builder, signature, arguments, 1, vector.width), align=4)
        return context.get_dummy_value()

    return types.none(vector, array, types.intp), code


@intrinsic
def multiply_add(typing, number, vector, total):  # type: ignore[no-untyped-def]
    """number * vector + total."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        number, vector, total = arguments
        return _added_product(builder, _everywhere(builder, number, signature.return_type.width), vector, total)

    return total(types.float32, total, total), code


@intrinsic
def folded(typing, a, b, total):  # type: ignore[no-untyped-def]
    """total + a * b, where total has 16 lanes and a, b are several times as wide: lanes equal modulo 16 are added."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        left, right, sums = arguments
        for first in range(0, a.width, 16):
            part = list(range(first, first + 16))
            sums = _added_product(builder, _shuffled(builder, left, part), _shuffled(builder, right, part), sums)
        return sums

    return total(a, a, total), code


@intrinsic
def sum_of(typing, vector):  # type: ignore[no-untyped-def]
    """The sum of all lanes, in any order."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = arguments[0].type
        known = ir.FunctionType(ir.FloatType(), [ir.FloatType(), kind])
        name = f"llvm.vector.reduce.fadd.v{vector.width}f32"
        added = cgutils.get_or_insert_function(builder.module, known, name)
        return builder.call(added, [ir.FloatType()(-0.0), arguments[0]], fastmath=("reassoc",))

    return types.float32(vector), code


@intrinsic
def kept(typing, vector, flags, index):  # type: ignore[no-untyped-def]
    """The vector where `flags`, bytes, from the index on are not 0, else 0."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = ir.VectorType(ir.IntType(8), vector.width)
        start = context.make_array(flags)(context, builder, arguments[1]).data
        place = builder.bitcast(builder.gep(start, [arguments[2]]), kind.as_pointer())
        chosen = builder.icmp_unsigned("!=", builder.load(place, align=1), ir.Constant(kind, [0] * vector.width))
        return builder.select(chosen, arguments[0], ir.Constant(arguments[0].type, [0.0] * vector.width))

    return vector(vector, flags, types.intp), code


@intrinsic
def prefetch(typing, array, index):  # type: ignore[no-untyped-def]
    """Have array[index] on its way into the cache."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        start = context.make_array(array)(context, builder, arguments[0]).data
        place = builder.bitcast(builder.gep(start, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        call = builder.module.declare_intrinsic(
            "llvm.prefetch", (place.type,), ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        )
        builder.call(call, [place, number(0), number(3), number(1)])  # to read, into the first cache, data
        return context.get_dummy_value()

    return types.none(array, types.intp), code


@intrinsic
def times(typing, a, b):  # type: ignore[no-untyped-def]
    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fmul(*arguments)

    return a(a, a), code
