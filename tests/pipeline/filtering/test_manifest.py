"""The manifest as other filters, `why` and reports read it, from this Siglane and from others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import table
from pipeline.errors import UsageError
from pipeline.filtering import Manifest, Selection, filter_table
from pipeline.filtering.rule import parse_rule
from tests.tables import cosines_as, write_table

KEYS = {
    *("manifest_version", "table", "table_version", "tag", "tag_is_new", "identity", "output_format", "flag", "rule"),
    *(
        "by",
        "min",
        "max",
        "top_fraction",
        "max_mismatch_fraction",
        "threshold_from",
        "where",
        "per",
        "seed",
        "rows",
        "scored",
    ),
    *("kept", "threshold", "mismatch_fraction", "mismatch_interval", "groups", "created"),
    *("wrong_captions", "assumes", "mismatch_upper_any", "contradicted", "batch"),
    *("certified", "labels"),
}
GROUP_KEYS = {"value", "rows", "scored", "kept", "threshold", "ties_kept", "estimate", "cuts", "certified"}
CUT_KEYS = {"rule", "by", "scored", "passed", "threshold", "at_most", "ties_kept", "estimate", "scales"}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The manifest of a rule: its first cut keeps nothing, its last is of a weighted sum."""
    path = write_table(tmp_path / "t", *cosines_as([0.1, 0.5, 0.9]), side=[3, 3, 1])
    sums = {"weighted_sum": {"cosine": 1, "side": 2}, "min": 0.5}
    members = [{"by": "cosine", "top_fraction": 0}, {"by": "side", "max": 2}, sums]
    selection = Selection(rule=parse_rule({"any": members}, "rule"))
    filter_table(table.open_table(table.parse(str(path))), selection, tmp_path / "out")
    return tmp_path / "out.siglane" / "manifest.json"


def test_its_keys_are_what_other_programs_rely_on(written: Path) -> None:
    said = json.loads(written.read_text())
    assert said["manifest_version"] == 1
    assert said.keys() == KEYS
    assert said["groups"][0].keys() == GROUP_KEYS
    assert all(cut.keys() == CUT_KEYS for cut in said["groups"][0]["cuts"])


def test_what_is_written_is_read_back(written: Path) -> None:
    found = Manifest.read(written)
    assert found.model_dump(mode="json") == json.loads(written.read_text())
    (group,) = found.groups
    assert [(cut.threshold, cut.at_most) for cut in group.made] == [(float("inf"), False), (2.0, True), (0.5, False)]
    assert group.made[2].scales == {"cosine": pytest.approx((0.1, 0.9), abs=1e-3), "side": (1.0, 3.0)}


def test_it_is_named_by_its_output_or_by_its_file(written: Path) -> None:
    output = written.parent.with_name("out")
    assert Manifest.read(output) == Manifest.read(written) == Manifest.read(written.parent)
    assert Manifest.read(output / "_manifest.json") == Manifest.read(written), "where earlier releases had it"


def test_one_in_the_output_as_earlier_releases_wrote_it_is_read(written: Path) -> None:
    output = written.parent.with_name("out")
    content = Manifest.read(written)
    written.rename(output / "_manifest.json")
    written.parent.rmdir()
    assert Manifest.read(output) == Manifest.read(output / "_manifest.json") == content


def test_one_written_before_they_had_a_version_is_read(written: Path) -> None:
    said = json.loads(written.read_text())
    for key in ("manifest_version", "tag_is_new", "flag", "rule"):
        del said[key]
    for group in said["groups"]:
        del group["cuts"]
        group |= {"scored": 3, "threshold": 0.5, "ties_kept": 1}
    written.write_text(json.dumps(said | {"by": "cosine", "scored": 3, "threshold": 0.5}))
    found = Manifest.read(written)
    assert (found.manifest_version, found.rule, found.tag_is_new) == (1, None, False)
    assert [(cut.threshold, cut.ties_kept) for cut in found.groups[0].made] == [(0.5, 1)]


@pytest.mark.parametrize("version", [2, 0, "1.1", None])
def test_one_of_another_version_is_refused_with_the_way_out(written: Path, version: Any) -> None:
    written.write_text(json.dumps(json.loads(written.read_text()) | {"manifest_version": version}))
    with pytest.raises(UsageError) as refused:
        Manifest.read(written)
    assert str(refused.value) == (
        f"manifest {written}: its manifest_version is {version!r}, but this Siglane reads version 1; use the Siglane "
        "release that wrote it, or filter again with this one"
    )


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"table": "t", "groups": 3}'])
def test_json_that_is_no_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "no.json").write_text(content)
    with pytest.raises(UsageError, match=r"no.json: not a filter's manifest; name the output folder of a filter"):
        Manifest.read(tmp_path / "no.json")


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("all: [")
    with pytest.raises(UsageError, match=r"no.json: cannot be read: "):
        Manifest.read(tmp_path / "no.json")
