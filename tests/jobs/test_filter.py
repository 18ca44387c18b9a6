"""`siglane filter` and `siglane why` as commands: summaries, exit codes, and nothing left of what fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pytest

from jobs import filter, why  # noqa: A004
from pipeline.filtering import beside
from tests.tables import cosines_as, write_table
from tests.vectors import simulated


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    pairs, _ = simulated(2000, 0.3, seed=1)
    return write_table(tmp_path / "t", pairs.image_vectors, pairs.text_vectors)


def summary(capfd: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    out, err = capfd.readouterr()
    return json.loads(out), err


def test_a_cut_by_its_error_rate_tells_the_estimate(
    noisy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = ["--table", str(noisy), "--output", str(tmp_path / "out"), "--max-mismatch-fraction", "0.05", "--json"]
    assert filter.main(run) == 0
    told, text = summary(capfd)
    assert 0.03 < told["mismatch_fraction"] <= 0.05
    assert told["mismatch_interval"][0] < told["mismatch_fraction"] < told["mismatch_interval"][1]
    assert told["groups"][0]["estimate"]["pi0"] == pytest.approx(0.3, abs=0.05)
    assert "of the kept pairs are mismatched" in text
    assert "captions that are nearly right are not counted" in text

    manifest = ["--manifest", str(tmp_path / "out.siglane" / "manifest.json")]
    assert why.main(["--table", str(noisy), "--uid", "0" * 32, *manifest, "--json"]) == 0
    told, text = summary(capfd)
    assert told["results"][0]["kept"] in (True, False)
    assert f"{'kept' if told['results'][0]['kept'] else 'dropped'}: cosine" in text


def test_what_cannot_be_told_fails_in_one_line_and_writes_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    write_table(tmp_path / "t", rng.standard_normal((1000, 8)), rng.standard_normal((1000, 8)))
    run = ["--table", str(tmp_path / "t"), "--output", str(tmp_path / "out"), "--max-mismatch-fraction", "0.05"]
    assert filter.main([*run, "--json"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = (line for line in err.splitlines() if line.startswith("siglane filter:"))
    assert "the mismatch fraction cannot be estimated: " in line
    assert "nothing was written" in line
    assert {path.name for path in tmp_path.iterdir()} == {"t.lance"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--min", "0", "--top-fraction", "0.5"],
            "give one of --max, --max-mismatch-fraction, --min, --threshold-from, --top-fraction and --rule",
        ),
        (["--min", "0", "--output-format", "webdataset"], "this output reads images: give --input"),
        (["--min", "0", "--input", "in"], "--input is only for --with-images and --output-format webdataset"),
        (["--min", "0", "--with-images"], "this output reads images: give --input"),
        (
            ["--min", "0", "--with-images", "--output-format", "datacomp"],
            "--with-images is only for --output-format parquet",
        ),
        (["--min", "0", "--shard-size", "5"], "--shard-size is only for --output-format webdataset: leave it out"),
        (
            ["--min", "0", "--output-format", "datacomp", "--shuffle-seed", "0"],
            "--shuffle-seed is only for --output-format webdataset: leave it out",
        ),
        (
            ["--min", "0", "--image-col", "i", "--caption-col", "c"],
            "--image-col, --caption-col are only for use with --input: leave them out",
        ),
        (["--min", "0", "--allow-uri", "x/"], "--allow-uri is only for use with --input: leave it out"),
        (["--rule", "r.yaml", "--by", "logit"], "--by is set by the file of --rule: leave it out"),
        (["--rule", "none.yaml"], "rule none.yaml: cannot be read: "),
        (["--min", "0", "--wrong-captions", "any"], "--wrong-captions is only for --max-mismatch-fraction"),
        (["--max-mismatch-fraction", "0"], "--max-mismatch-fraction: Input should be greater than 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: list[str], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert filter.main(["--table", "t", "--output", str(tmp_path / "out"), *options]) == 2
    assert said in capfd.readouterr().err


def test_the_seed_decides_on_the_estimate_and_is_told(
    noisy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    estimates = {}
    for seed in (0, 0, 3):
        output = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        run = ["--table", str(noisy), "--output", str(output), "--max-mismatch-fraction", "0.05", "--json"]
        assert filter.main([*run, "--seed", str(seed)]) == 0
        told, _ = summary(capfd)
        assert json.loads((beside(output) / "manifest.json").read_text())["seed"] == seed
        assert estimates.setdefault(seed, told["groups"][0]["estimate"]) == told["groups"][0]["estimate"]
    assert estimates[0] != estimates[3]


def test_no_tag_names_no_state(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_table(tmp_path / "t", *cosines_as([0.1, 0.2]))
    for options, tags in ((["--no-tag"], 0), ([], 1)):
        output = tmp_path / f"out{tags}"
        assert filter.main(["--table", str(path), "--output", str(output), "--min", "0", "--json", *options]) == 0
        assert (summary(capfd)[0]["tag"] is None) == (tags == 0)
        assert len(lance.dataset(f"{path}.lance").tags.list()) == tags


def test_pairs_without_a_score_are_counted_apart(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_table(tmp_path / "t", *cosines_as([0.1] * 6), quality=[1.0, 2.0, 3.0, 4.0, None, None])
    run = ["--table", str(path), "--by", "quality", "--min"]
    assert filter.main([*run, "2", "--output", str(tmp_path / "some")]) == 0
    assert "kept 3 of 4 scored pairs, quality >= 2; 2 pairs have no score" in "".join(capfd.readouterr())
    assert filter.main([*run, "2", "--output", str(tmp_path / "all"), "--where", "quality > 0"]) == 0
    said = "".join(capfd.readouterr())
    assert "kept 3 of 4 scored pairs, quality >= 2" in said
    assert "have no score" not in said


def test_printed_options_are_taken_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = ["--table", "t", "--output", str(tmp_path / "out"), "--min", "0", "--print-config"]
    assert filter.main(run) == 0
    (tmp_path / "run.yaml").write_text(capfd.readouterr().out)
    assert filter.main(["--config", str(tmp_path / "run.yaml"), "--print-config"]) == 0


def test_a_row_whose_cosine_is_no_number_is_told_as_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_table(tmp_path / "t", np.full((1, 2), np.nan), np.ones((1, 2)))
    assert why.main(["--table", str(tmp_path / "t"), "--uid", "0" * 32, "--json"]) == 0
    (row,) = summary(capfd)[0]["results"]
    assert (row["key"], row["cosine"]) == ("0", None)
