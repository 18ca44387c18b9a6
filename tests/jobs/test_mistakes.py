"""What newcomers type wrong. Each mistake ends with one line that names the place, the cause and the fix."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import cli
from jobs.command import FAILED, WRONG_USAGE
from tests.embedding import embed
from tests.samples import jpeg, write_parquet, write_photos, write_tar

EMBED = "embed --local --table db/new --model siglip-pico"


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A folder as a newcomer has it: photos, manifests, a table, and things that are none of these."""
    folder = tmp_path_factory.mktemp("field")
    write_photos(folder / "photos", 6)
    embed(folder / "photos", folder / "db" / "t", model)
    (folder / "empty").mkdir()
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_text("a note")
    write_parquet(folder / "both" / "a.parquet", [jpeg(1)], ["a red square"])
    write_tar(folder / "both" / "b.tar", [("a.jpg", jpeg(1)), ("a.txt", b"a red square")])
    write_parquet(folder / "pairs.parquet", [jpeg(1)], ["a red square"])
    (folder / "list.csv").write_text("image,caption\nphotos/photo0001.jpg,a red square\n")
    (folder / "job.yaml").write_text("inputt: photos\n")
    (folder / "rule.yaml").write_text("all:\n  - {by: cosine, minimum: 3}\n")
    (folder / "uids.txt").write_text("# the pairs to remove\n")
    (folder / "kept").mkdir()
    (folder / "kept" / "part-00000.parquet").write_bytes(b"")
    vectors = pa.FixedSizeListArray.from_arrays(np.eye(4, dtype=np.float32).ravel(), 4)
    pq.write_table(pa.table({"img": vectors, "txt": vectors}), folder / "vectors.parquet")
    return folder


@pytest.fixture
def here(field: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(field)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    before = {path for path in field.rglob("*") if "db/t.lance" not in path.as_posix()}
    yield field
    after = {path for path in field.rglob("*") if "db/t.lance" not in path.as_posix()}
    assert after == before, "a command that was refused has written something"


MISTAKES = {
    "a mistyped command": ("embd --input photos", ["no command 'embd'", "did you mean 'embed'"]),
    "a mistyped option": (f"{EMBED} --inptu photos", ["'--inptu'", "did you mean '--input'", "siglane embed --help"]),
    "a value without its option": (f"{EMBED} photos", ["'photos' belongs to no option"]),
    "a variable of the shell that is not set": (f"{EMBED} --input photos --caption-col=", ["--caption-col", "empty"]),
    "no model": ("embed --input photos --table db/new", ["--model is required"]),
    "a wrong path": (f"{EMBED} --input phtos", ["input phtos: no such file or folder; check --input"]),
    "an empty folder": (f"{EMBED} --input empty", ["input empty: the folder is empty; check --input"]),
    "a folder of texts": (f"{EMBED} --input notes", ["a.txt", "looks like text", "check --input"]),
    "a folder of two formats": (f"{EMBED} --input both", ["parquet and webdataset", "--input-format"]),
    "an unknown format": (f"{EMBED} --input photos --input-format zip", ["input_format 'zip'", "folder, lance"]),
    "a mistyped model": (
        "embed --local --table db/new --input photos --model siglip-picco",
        ["siglip-picco: no such folder, and no published model has this name", "siglip-pico"],
    ),
    "a mistyped column": (f"{EMBED} --input pairs.parquet --caption-col txet", ["no column 'txet'", "image, caption"]),
    "a mistyped key of a config": ("embed --config job.yaml", ["job.yaml", "'inputt'", "did you mean 'input'"]),
    "a config that is a folder": ("embed --config photos", ["config photos: cannot be read"]),
    "a table in another type of vectors": (
        "embed --local --table db/t --input photos --vector-dtype float32 --model MODEL",
        ["image_vector", "--vector-dtype", "another --table"],
    ),
    "a table by another model": (f"{EMBED.replace('db/new', 'db/t')} --input photos", ["made with", "another --table"]),
    "a table where nothing can be written": (
        f"{EMBED.replace('db/new', '/proc/x/y')} --input photos",
        ["table /proc/x/y: cannot write to /proc", "another --table"],
    ),
    "a table in the input": (f"{EMBED.replace('db/new', 'photos/t')} --input photos", ["inside the input photos"]),
    "a bucket without credentials": (
        f"{EMBED.replace('db/new', 's3://bucket/db/t')} --input photos",
        ["s3://bucket/db/t", "credentials", "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION"],
    ),
    "a bucket as a table": ("query --table s3://bucket --text a", ["'s3://bucket'", "DATABASE/NAME"]),
    "a table that is not there": ("query --table db/none --text a", ["no table at", "siglane embed --table"]),
    "a version that is not there": ("query --table db/t@99 --text a", ["no version or tag 99", "newest version is"]),
    "a filter before the scores": (
        "filter --table db/t --output new --top-fraction 0.3",
        ["none of the 6 rows has a cosine", "siglane score"],
    ),
    "a percentage for a fraction": (
        "filter --table db/t --output new --top-fraction 30",
        ["--top-fraction", "less than or equal to 1", "'30'"],
    ),
    "an unknown score": (
        "filter --table db/t --output new --by beauty --min 3",
        ["column 'beauty'", "cosine"],
    ),
    "an export of images without the input": (
        "filter --table db/t --output new --min 0 --output-format webdataset",
        ["give --input"],
    ),
    "a format for the wrong option": (
        "filter --table db/t --output new --min 0 --format webdataset",
        ["'--format'", "'--output-format'"],
    ),
    "an output that is there": ("filter --table db/t --output kept --min 0", ["output kept: already exists"]),
    "an output where nothing can be written": (
        "filter --table db/t --output /proc/x/kept --by source_row --min 0",
        ["output /proc/x/kept: cannot write to /proc/x", "another --output"],
    ),
    "a rule with an unknown key": ("filter --table db/t --output new --rule rule.yaml", ["rule.yaml", "minimum"]),
    "a report where nothing can be written": (
        "report --table db/t --output /proc/report.html",
        ["output /proc/report.html: cannot be written", "another --output"],
    ),
    "a caption as SQL": ("query --table db/t --text a --where caption~dog", ["caption~dog"]),
    "a query by a file that is no image": ("query --table db/t --image list.csv", ["not an image"]),
    "a query by a file that is not there": ("query --table db/t --image cat.jpg", ["image cat.jpg", "No such file"]),
    "a query by nothing": ("query --table db/t", ["give --text, --image or --uid"]),
    "uids that are none": ("remove --table db/t --uids uids.txt", ["entry 1", "32 hex characters"]),
    "why without a uid": ("why --table db/t --uid 7", ["'7'", "32 hex characters"]),
    "an unknown signal": ("score --table db/t --signal blurry", ["'blurry'", "caption_length"]),
    "vectors without their columns": (
        "import --input vectors.parquet --table db/new --logit-scale 10 --logit-bias -10",
        ["--image-vector-col is required"],
    ),
    "a training shorter than its warm-up": (
        "train --scenes --steps 3 --output new --architecture siglip-pico",
        ["--warmup-steps 200 must be below --steps 3", "--warmup-steps 0"],
    ),
    "scenes into a folder that is not empty": ("scenes --output kept", ["kept is not empty"]),
    "scenes where nothing can be written": ("scenes --output /proc/x", ["output /proc/x: cannot be written"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_with_a_line_that_says_what_to_do(
    mistake: str, here: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    typed, said = MISTAKES[mistake]
    code = cli.main(typed.replace("MODEL", str(model)).split())
    out, err = capfd.readouterr()
    assert code in (FAILED, WRONG_USAGE)
    assert out == ""
    assert "Traceback" not in err
    line = err.splitlines()[-1]
    assert line.startswith("siglane")
    assert [text for text in said if text not in line] == [], line
