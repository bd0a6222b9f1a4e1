"""Thrift structs without their classes, in the compact protocol: what Parquet's headers and footers are made of.

A struct is its fields, number to (type, value), so that a footer can be read, changed in one place and written again
with all that its writer put there.
"""

from typing import Any

from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TType
from thrift.transport.TTransport import TMemoryBuffer

Struct = dict[int, tuple[int, Any]]
"""Field numbers to (a type of TType, the value): a struct is a Struct, a list is (type, values), a string bytes."""


def to_bytes(struct: Struct) -> bytes:
    """A struct in the compact protocol."""
    buffer = TMemoryBuffer()
    _write(TCompactProtocol(buffer), TType.STRUCT, struct)
    return bytes(buffer.getvalue())


def from_bytes(raw: bytes) -> Struct:
    """The struct at the beginning of ``raw``."""
    struct: Struct = _read(TCompactProtocol(TMemoryBuffer(raw)), TType.STRUCT)
    return struct


def _write(protocol: TCompactProtocol, kind: int, value: Any) -> None:
    if kind == TType.STRUCT:
        protocol.writeStructBegin("")
        for number, (its_kind, its_value) in sorted(value.items()):
            protocol.writeFieldBegin("", its_kind, number)
            _write(protocol, its_kind, its_value)
            protocol.writeFieldEnd()
        protocol.writeFieldStop()
        protocol.writeStructEnd()
    elif kind == TType.LIST:
        protocol.writeListBegin(value[0], len(value[1]))
        for element in value[1]:
            _write(protocol, value[0], element)
        protocol.writeListEnd()
    else:
        getattr(protocol, f"write{_SCALARS[kind]}")(value)


def _read(protocol: TCompactProtocol, kind: int) -> Any:
    if kind == TType.STRUCT:
        return _read_struct(protocol)
    if kind == TType.LIST:
        its_kind, length = protocol.readListBegin()
        elements = [_read(protocol, its_kind) for _ in range(length)]
        protocol.readListEnd()
        return its_kind, elements
    return getattr(protocol, f"read{_SCALARS[kind]}")()


def _read_struct(protocol: TCompactProtocol) -> Struct:
    struct: Struct = {}
    protocol.readStructBegin()
    while True:
        _, kind, number = protocol.readFieldBegin()
        if kind == TType.STOP:
            protocol.readStructEnd()
            return struct
        struct[number] = kind, _read(protocol, kind)
        protocol.readFieldEnd()


_SCALARS = {
    TType.BOOL: "Bool",
    TType.BYTE: "Byte",
    TType.I16: "I16",
    TType.I32: "I32",
    TType.I64: "I64",
    TType.DOUBLE: "Double",
    TType.STRING: "Binary",
}
