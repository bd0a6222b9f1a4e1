"""Processor instructions on words of eight bytes that numba does not offer; to be called from compiled code only.

Addresses are those of arrays (``array.ctypes.data``) that outlive the call; they are not checked.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_WORD = ir.IntType(64)
_intrinsic: Any = intrinsic  # numba's annotations say that what it returns cannot be called


def _trailing_zeros(typingctx: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, 0))

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
"""Zero bits below the lowest one of a uint64, as uint64; 64 for zero."""
load_word: Callable[[Any], Any] = _intrinsic(_load_word)
"""The uint64 whose first byte is at an address, aligned or not."""
store_word: Callable[[Any, Any], None] = _intrinsic(_store_word)
"""Writes a uint64 to an address, aligned or not."""
