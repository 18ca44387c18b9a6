"""`siglane index`, `siglane optimize` and what `siglane status` tells of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import Siglane
from tests.samples import jpeg, write_parquet


@pytest.fixture
def table(siglane: Siglane, model: Path) -> str:
    """Twelve photos, some of red things."""
    captions = [f"a {colour} square, number {number}" for number, colour in enumerate(["red", "blue", "green"] * 4)]
    write_parquet(siglane.folder / "in.parquet", [jpeg(number) for number in range(12)], captions)
    siglane("embed", "--input", "in.parquet", "--table", "t", "--model", model, "--local")
    return "t"


def test_a_small_table_gets_a_full_text_index_and_the_reason_for_no_other(siglane: Siglane, table: str) -> None:
    done = siglane("index", "--table", table, "--scalar", "uid")["indexes"]
    assert [(each["column"], each["kind"], each["done"]) for each in done] == [
        *(("image_vector", None, "none"), ("text_vector", None, "none")),
        *(("caption", "full-text", "built"), ("uid", "btree", "built")),
    ]
    shown = siglane("status", "--table", table)["indexes"]
    assert [(each["column"], each["kind"]) for each in shown] == [(each["column"], each["kind"]) for each in done]
    assert shown[0]["why"].startswith("exact search takes ")


def test_a_measured_index_is_shown_with_its_recall(siglane: Siglane, table: str) -> None:
    exact = siglane("query", "--table", table, "--text", "a red square", "-k", 5)["results"]
    siglane("index", "--table", table, "--kind", "ivf_rq", "--recall", "1")
    image, text, _ = siglane("status", "--table", table)["indexes"]
    for each in (image, text):
        assert (each["kind"], each["rows"], each["rows_without"], each["wanted_recall"]) == ("ivf_rq", 12, 0, 1)
        assert {found["query"] for found in each["searches"]} == {"image", "text"}
        assert all(found["recall"] == 1 for found in each["searches"])
    assert siglane("query", "--table", table, "--text", "a red square", "-k", 5)["results"] == exact
    assert siglane("query", "--table", table, "--text", "a red square", "-k", 5, "--exact")["results"] == exact
    process = siglane.start("status", "--table", table)
    assert "ivf_rq index (asked for with --kind ivf_rq), 12 rows; image queries find 1.000" in process.communicate()[1]


def test_words_are_a_condition_or_rank_beside_the_vectors(siglane: Siglane, table: str) -> None:
    given = ["--table", table, "--text", "number 4", "-k", "12"]
    failed = siglane.fails("query", *given, "--words", "red", code=2)
    assert "it has no full-text index of its captions; build it with `siglane index" in failed
    siglane("index", "--table", table)
    found = siglane("query", *given, "--words", "Red squares")["results"]
    assert len(found) == 4
    assert all(" red " in hit["caption"] for hit in found)
    hybrid = siglane("query", *given, "--hybrid", "--words", "4")["results"]
    assert len(hybrid) == 12
    assert hybrid[0]["caption"].endswith("number 4")
    assert "hybrid needs words" in siglane.fails(
        "query", "--table", table, "--uid", found[0]["uid"], "--hybrid", code=2
    )


def test_optimize_tells_what_it_has_done(siglane: Siglane, table: str) -> None:
    siglane("index", "--table", table)
    done = siglane("optimize", "--table", table)
    assert (done["fragments"], [each["done"] for each in done["indexes"]]) == (1, ["kept"])


def test_a_column_that_does_not_exist_is_named(siglane: Siglane, table: str) -> None:
    assert "no column 'sauce'" in siglane.fails("index", "--table", table, "--scalar", "sauce", code=2)


def test_what_indexes_find_is_told_in_short_lines(siglane: Siglane, table: str) -> None:
    said = siglane.start("index", "--table", table, "--kind", "ivf_rq").communicate()[1]
    shown = siglane.start("status", "--table", table).communicate()[1]
    for lines in (said.splitlines(), shown.splitlines()):
        assert "    text queries find 1.000 of the nearest 10, 1.000 of the nearest 100" in lines
        assert max(len(line) for line in lines if "queries find" in line) <= 150
