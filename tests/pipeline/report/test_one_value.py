"""A column with one value in all rows, as `image_aspect` of square images, has a histogram of one bar."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from jobs import report
from tests.tables import cosines_as, write_table


@pytest.mark.parametrize("values", [[1.0] * 4, [1.0, 1.0, 2.0, 2.0], [0.0] * 4])
def test_a_report_shows_it(values: list[float], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_table(tmp_path / "t", *cosines_as([0.1, 0.2, 0.3, 0.4]), image_aspect=pa.array(values, pa.float32()))
    assert report.main(["--table", str(tmp_path / "t"), "--output", str(tmp_path / "page.html")]) == 0, (
        capfd.readouterr()
    )
    assert "aspect" in (tmp_path / "page.html").read_text("utf-8")
