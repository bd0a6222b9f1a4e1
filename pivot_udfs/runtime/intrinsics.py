"""Processor operations on machine words that numba does not offer. For use in compiled code only.

Addresses are those of arrays (``array.ctypes.data``) that outlive the call. They are not checked.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_BYTE, _WORD = ir.IntType(8), ir.IntType(64)
_intrinsic: Any = intrinsic  # by its own type hints, what it returns cannot be called


def _trailing_zeros(typingctx: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, 0))

    return types.uint64(types.uint64), codegen


def _load_byte(typingctx: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.load(builder.inttoptr(args[0], _BYTE.as_pointer())), _WORD)

    return types.uint64(types.uint64), codegen


def _load_word(typingctx: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], _WORD.as_pointer()), align=1)

    return types.uint64(types.uint64), codegen


def _store_word(typingctx: Any, address: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], _WORD.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), codegen


trailing_zeros: Callable[[Any], Any] = _intrinsic(_trailing_zeros)
"""Number of zero bits below the lowest set bit of a uint64, as uint64; 64 for zero."""
load_byte: Callable[[Any], Any] = _intrinsic(_load_byte)
"""The byte at an address, as uint64."""
load_word: Callable[[Any], Any] = _intrinsic(_load_word)
"""The uint64 whose first byte is at an address, aligned or not."""
store_word: Callable[[Any, Any], None] = _intrinsic(_store_word)
"""Writes a uint64 to an address, aligned or not."""
