"""Reads the elements of a JSON array one after another, so that an array of any length takes the memory of one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

CHARACTERS_AT_ONCE = 1 << 16

_START = re.compile(r"\s*\[\s*(?=\{|\]\s*$)")
_BLANK = re.compile(r"\s*")


def begins(text: str) -> bool:
    """Whether a text that begins like this is an array of objects."""
    return _START.match(text) is not None


@dataclass(frozen=True)
class Broken:
    """Why an element, and all that follows it, cannot be read."""

    message: str


class Elements:
    """The elements of an array, each with its place in the text, in characters from the start."""

    def __init__(self, text: TextIO, most: int) -> None:
        """`most`: limit for the characters of one element."""
        self._text = text
        self._most = most
        self._buffer = ""
        self._at = 0
        self._before = 0
        """characters of the text before the buffer"""

    def __iter__(self) -> Iterator[tuple[int, Any | Broken]]:
        decoder = json.JSONDecoder()
        opened = False
        while True:
            mark = self._next_mark()
            place = self._before + self._at
            if mark == ("," if opened else "["):
                self._at += 1
                if not opened and self._next_mark() == "]":
                    mark, place = "]", self._before + self._at
            opened = True
            if mark == "]":
                self._at += 1
                if self._next_mark():
                    yield self._before + self._at, Broken("text after the end of the array is not read")
                return
            if mark not in ("[", ","):
                yield place, Broken("a comma or the end of the array is missing; the rest is not read")
                return
            self._next_mark()
            element = self._element(decoder)
            yield place, element
            if isinstance(element, Broken):
                return

    def _next_mark(self) -> str:
        """The next character that is not blank, where the buffer then stands; none at the end."""
        while True:
            found = _BLANK.match(self._buffer, self._at)
            self._at = self._at if found is None else found.end()
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more(CHARACTERS_AT_ONCE):
                return ""

    def _element(self, decoder: json.JSONDecoder) -> Any:
        size = CHARACTERS_AT_ONCE
        while True:
            try:
                value, end = decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                # an error in the middle of an element looks like its end when the rest is not read yet
                if len(self._buffer) - self._at > self._most:
                    return Broken(f"element of more than {self._most} characters; the rest of the array is not read")
                if not self._more(size):
                    return Broken(f"{error.msg}; the rest of the array is not read")
                size *= 2
            except RecursionError:
                return Broken("lists or objects are nested too deeply; the rest of the array is not read")
            else:
                if end == len(self._buffer) and isinstance(value, int | float) and self._more(size):
                    continue  # a number may go on
                self._at = end
                return value

    def _more(self, size: int) -> bool:
        """Reads on, and forgets what is behind the place."""
        piece = self._text.read(size)
        self._before += self._at
        self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return bool(piece)
