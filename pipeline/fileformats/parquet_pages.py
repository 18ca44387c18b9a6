"""Reads the page headers of a Parquet column chunk before anything is unpacked, because a footer can state false sizes.

Each page follows its header, a struct in Thrift's compact protocol. Only two of its numbers are needed here
(https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift, `PageHeader`).
"""

from __future__ import annotations

from collections.abc import Iterator

MAX_PAGES = 1_000_000
"""the pages of one column chunk that are checked"""

_UNPACKED, _PACKED = 2, 3
"""the fields of a header with the sizes of its page in bytes"""
_STOP, _TRUE, _FALSE, _I16, _I32, _I64, _BINARY, _STRUCT = 0, 1, 2, 4, 5, 6, 8, 12
"""the Thrift types that occur in a header"""


def unpacked_size(chunk: bytes | memoryview) -> int:
    """The bytes to which a column chunk unpacks, as stated by all page headers that can be read."""
    return sum(unpacked for unpacked, _ in _pages(chunk))


def _pages(chunk: bytes | memoryview) -> Iterator[tuple[int, int]]:
    """(bytes unpacked, bytes packed) of each page."""
    place = 0
    for _ in range(MAX_PAGES):
        try:
            sizes, place = _header(chunk, place)
        except (IndexError, ValueError):  # the end of the chunk, or damage, which the Parquet reader will report
            return
        yield sizes
        place += sizes[1]


def _header(data: bytes | memoryview, place: int) -> tuple[tuple[int, int], int]:
    """((bytes unpacked, bytes packed), where the page begins) of the header that begins at `place`.

    Raises:
        IndexError: it extends beyond the end of the data.
        ValueError: it is not a page header.
    """
    sizes: dict[int, int] = {}
    outer: list[int] = []
    field = 0
    while True:
        head = data[place]
        place += 1
        if head == _STOP:
            if not outer:
                break
            field = outer.pop()
            continue
        step, kind = head >> 4, head & 0xF
        if step == 0:
            field, place = _number(data, place)
        field += step
        if kind in (_I16, _I32, _I64):
            value, place = _number(data, place)
            if not outer and field in (_UNPACKED, _PACKED):
                sizes[field] = value
        elif kind == _BINARY:
            length, place = _varint(data, place)
            place += length
        elif kind == _STRUCT:
            outer.append(field)
            field = 0
        elif kind not in (_TRUE, _FALSE):
            raise ValueError(f"a field of type {kind}")
    if sizes.keys() != {_UNPACKED, _PACKED} or min(sizes.values()) < 0:
        raise ValueError("no sizes")
    return (sizes[_UNPACKED], sizes[_PACKED]), place


def _number(data: bytes | memoryview, place: int) -> tuple[int, int]:
    """(a signed number, where it ends)."""
    value, place = _varint(data, place)
    return (value >> 1) ^ -(value & 1), place


def _varint(data: bytes | memoryview, place: int) -> tuple[int, int]:
    """(a number of seven bits a byte, the lowest first, where it ends)."""
    value = 0
    for shift in range(0, 70, 7):
        value |= (data[place] & 0x7F) << shift
        place += 1
        if data[place - 1] < 0x80:
            return value, place
    raise ValueError("a number of more than 64 bits")
