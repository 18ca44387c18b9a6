"""A list whose images are all on other stores: the run ends before it starts, and says what to allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import InputError
from tests.embedding import embed


def test_a_list_of_urls_is_refused_with_the_option_that_allows_them(tmp_path: Path, model: Path) -> None:
    (tmp_path / "urls.csv").write_text("url,caption\nhttps://host/a.jpg,a\nhttps://host/b.jpg,b\n")
    with pytest.raises(InputError, match=r"urls\.csv: .* outside the input; allow them with --allow-uri https://host/"):
        embed(tmp_path / "urls.csv", tmp_path / "t", model)
    assert not (tmp_path / "t.lance").exists()
