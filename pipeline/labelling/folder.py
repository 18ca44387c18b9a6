"""The folder of a draw: the page, and the drawn sample as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.labelling.draw import Drawn

PAGE, DRAW = "label.html", "draw.json"


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
        (output / DRAW).write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        raise UsageError(f"output {output}: cannot be written: {error.strerror}; choose another --output") from error
