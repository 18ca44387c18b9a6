"""Reads the arrays of a JSON object element by element, so that an object of any length takes the memory of one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

CHARACTERS_AT_ONCE = 1 << 16

_BLANKS = " \t\r\n"
_BLANK = re.compile(r"\s*")


class BrokenJsonError(ValueError):
    """The text is not a JSON object, or one of its values is too long."""


class Members:
    """The members of an object: (name, element) for each element of an array, and (name, value) for other values."""

    def __init__(self, text: TextIO, most: int) -> None:
        """`most`: limit for the characters of one element or value."""
        self._text = text
        self._most = most
        self._buffer = ""
        self._at = 0
        self._decode = json.JSONDecoder().raw_decode

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """
        Raises:
            BrokenJsonError: the text is broken from here on.
        """
        self._expect("{")
        while self._next() != "}":
            name = self._value()
            self._expect(":")
            if self._next() == "[":
                self._at += 1
                while self._next() != "]":
                    yield str(name), self._value()
                    if self._next() != "]":
                        self._expect(",")
                self._at += 1
            else:
                yield str(name), self._value()
            if self._next() != "}":
                self._expect(",")

    def _next(self) -> str:
        """The next character that is not blank; empty at the end."""
        if (mark := self._buffer[self._at : self._at + 1]) and mark not in _BLANKS:
            return mark  # there are millions of elements
        while True:
            self._at = _BLANK.match(self._buffer, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._buffer) or not self._read():
                return self._buffer[self._at : self._at + 1]

    def _expect(self, mark: str) -> None:
        if (found := self._next()) != mark:
            raise BrokenJsonError(
                f"{mark!r} is missing before {found!r}" if found else f"ends where {mark!r} is missing"
            )
        self._at += 1

    def _value(self) -> Any:
        self._next()
        while True:
            problem = "ends within a value"
            try:
                value, end = self._decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                problem = error.msg
            except RecursionError as error:
                raise BrokenJsonError("lists or objects are nested too deeply") from error
            else:
                if end < len(self._buffer):  # otherwise a number may go on
                    self._at = end
                    return value
            if len(self._buffer) - self._at > self._most:
                raise BrokenJsonError(f"a value of more than {self._most} characters, or broken: {problem}")
            if not self._read():
                raise BrokenJsonError(problem)

    def _read(self) -> bool:
        """Reads on; each time as much as is there already, so that long values are not decoded too often."""
        left = self._buffer[self._at :]
        more = self._text.read(max(CHARACTERS_AT_ONCE, len(left)))
        self._buffer, self._at = left + more, 0
        return bool(more)
