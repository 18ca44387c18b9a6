"""How long `siglane verify` takes for a table, and what memory.

    python -m benchmarks.verifying [ROWS] [DIMENSION] [FOLDER]

Makes a scored table of so many rows with random vectors, 10,000 of each source, in FOLDER (a temporary one where it is
not given; one that is there is taken as it is).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks import filtering, resume
from pipeline import scoring, table


def main(total: str = "10000000", dimension: str = "64", folder: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(folder or temporary) / "t"
        if not place.with_suffix(".lance").exists():
            uri = table.parse(str(place))
            filtering.make(uri, int(total), int(dimension))
            list(scoring.score_table(uri))
        summary, spent = resume.siglane("verify", "--table", str(place))
    assert summary["ok"]
    print(json.dumps({"rows": summary["rows"], **{name: round(figure, 1) for name, figure in spent.items()}}, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
