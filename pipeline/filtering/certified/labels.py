"""Reads a file of labels: a CSV with the columns `uid` and `label`; the label page also saves `score` and `draw`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pipeline import schema
from pipeline.errors import UsageError
from pipeline.filtering.certified.draw_record import DrawRecord

RIGHT, WRONG, UNSURE = "right", "wrong", "unsure"
VALUES = (RIGHT, WRONG, UNSURE)
COLUMNS = ("uid", "label", "score", "stratum", "inclusion_probability", "draw")
"""columns of the files that the label page saves"""

_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Label:
    row: int
    """row of the file; the header is row 1"""
    uid: str
    value: str
    score: float | None
    """the pair's score when it was drawn; None in files from elsewhere"""


@dataclass(frozen=True)
class LabelFile:
    file: Path
    labels: Sequence[Label]
    """one for each pair"""
    draw: DrawRecord | None
    """None: the labels come from elsewhere"""

    def wrong(self, row: int, what: str) -> UsageError:
        return _wrong(self.file, row, what)


def read(file: Path) -> LabelFile:
    """Reads labels. Commas, semicolons or tabs separate columns; a byte order mark and any line ends are accepted.

    Raises:
        UsageError: the file cannot be read or has no labels; or a row is no label, contradicts another, or comes from
            another draw than the others. The message names the row.
    """
    rows = _rows(file)
    labels: dict[str, Label] = {}
    drawn_by: str | None = None
    for row, values in rows:
        label = _label(file, row, values)
        earlier = labels.setdefault(label.uid, label)
        if earlier.value != label.value:
            raise _wrong(
                file, row, f"uid {label.uid} is {label.value} here and {earlier.value} in row {earlier.row}; keep one"
            )
        named = values.get("draw", "")
        if drawn_by is not None and named != drawn_by:
            raise _wrong(
                file, row, f"its column draw differs from that of row {rows[0][0]}; use the labels of one draw"
            )
        drawn_by = named
    if not labels:
        raise UsageError(f"labels {file}: there are no labels; save labels.csv from the page of `siglane label`")
    return LabelFile(file, list(labels.values()), _draw(file, rows[0][0], drawn_by or ""))


def _rows(file: Path) -> list[tuple[int, Mapping[str, str]]]:
    """(row, values by column) of every row that is not empty."""
    try:
        text = file.read_text("utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(_DELIMITERS, key=first.count)
        parsed = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"labels {file}: cannot be read: {error}; give a CSV file in UTF-8") from error
    names = [name.strip().lower() for name in parsed[0]] if parsed else []
    if not {"uid", "label"} <= set(names):
        raise _wrong(file, 1, "there are no columns uid and label; the first row must name the columns")
    found: list[tuple[int, Mapping[str, str]]] = []
    for row, values in enumerate(parsed[1:], 2):
        if any(value.strip() for value in values):
            found.append((row, {name: value.strip() for name, value in zip(names, values, strict=False)}))
    return found


def _label(file: Path, row: int, values: Mapping[str, str]) -> Label:
    uid, value = values.get("uid", "").lower(), values.get("label", "").lower()
    if not schema.is_uid(uid):
        raise _wrong(file, row, f"{uid!r} is not a uid; give 32 hex characters, as in the column uid of the table")
    if value not in VALUES:
        raise _wrong(file, row, f"the label {value!r} is none of {', '.join(VALUES)}; correct it")
    score = values.get("score", "")
    if not score:
        return Label(row, uid, value, None)
    try:
        return Label(row, uid, value, float(score.replace(",", ".")))
    except ValueError:
        raise _wrong(file, row, f"the score {score!r} is not a number; use the file as the page saved it") from None


def _draw(file: Path, row: int, text: str) -> DrawRecord | None:
    if not text:
        return None
    try:
        return DrawRecord.model_validate_json(text)
    except ValidationError:
        raise _wrong(
            file, row, "its column draw is not what `siglane label` wrote; use the file as the page saved it"
        ) from None


def _wrong(file: Path, row: int, what: str) -> UsageError:
    return UsageError(f"labels {file}: row {row}: {what}")
