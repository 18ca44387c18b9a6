"""What the description of `siglane serve` allows, and much that it does not, sent to it by schemathesis.

SIGLANE_CASES is the number of cases for each operation, beyond those at the edges of what is allowed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.processes import Siglane, start
from tests.samples import jpeg, write_parquet
from tests.serving import serving

CASES = os.environ.get("SIGLANE_CASES", "40")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_no_request_makes_it_fail_or_takes_long(tmp_path: Path, model: Path) -> None:
    siglane = Siglane(tmp_path)
    images = [b"no image" if row % 40 == 0 else jpeg(row) for row in range(400)]
    write_parquet(tmp_path / "in.parquet", images, [f"photo {row}" for row in range(400)])
    siglane("embed", "--input", "in.parquet", "--table", "t", "--model", model, "--local", "--score")
    options = ("--max-rate", 1_000_000, "--max-seconds", 20)
    with serving(siglane, "--table", "t", "--input", "in.parquet", *options) as served:
        fuzzer = start(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{served.url}/openapi.json", "--seed", 1),
            *("--phases", "coverage,fuzzing", "--checks", CHECKS, "--max-examples", CASES, "--max-response-time", 20),
            *("--no-color", "--suppress-health-check", "all"),
            folder=tmp_path,
        )
        said, _ = fuzzer.communicate(timeout=280)
        assert fuzzer.returncode == 0, said[-5000:]
        assert served.client.get("/ready").status_code == 200
