"""The folder of a draw: the page, the pairs as CSV to be labelled by another tool, and the drawn sample as JSON."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.filtering.certified.labels import COLUMNS
from pipeline.labelling.draw import Drawn

PAGE, PAIRS, DRAW = "label.html", "pairs.csv", "draw.json"


def require_place(output: Path) -> None:
    """Raises UsageError unless `output` is empty or does not exist."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"output {output}: already exists and is not an empty folder; choose another --output")


def write(output: Path, drawn: Drawn, page: str) -> None:
    """Writes the folder.

    Raises:
        UsageError: it cannot be written, or is not empty.
    """
    require_place(output)
    sample = [
        {
            "uid": pair.uid,
            "score": pair.score,
            "stratum": pair.stratum,
            "inclusion_probability": pair.inclusion_probability,
        }
        for pair in drawn.pairs
    ]
    content = drawn.record.model_dump(mode="json") | {"sample": sample}
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / PAGE).write_text(page, "utf-8")
        _write_pairs(output / PAIRS, drawn)
        (output / DRAW).write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        raise UsageError(f"output {output}: cannot be written: {error.strerror}; choose another --output") from error


def _write_pairs(file: Path, drawn: Drawn) -> None:
    """The rows that the page would save, with an empty label."""
    by = drawn.record.model_dump_json()
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(COLUMNS)
        for pair in drawn.pairs:
            # a repr is the shortest text that reads back as the same number
            writer.writerow([pair.uid, "", repr(pair.score), pair.stratum, repr(pair.inclusion_probability), by])
