"""Odd and broken images, tars and Parquet files of many projects' tests: each is embedded, or a row that says why not.

The counts by reason are printed (`pytest -rP`). Skipped where ../shared/data is absent.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.sources import columns
from siglip_core.preprocess import MAX_PIXELS
from tests.conftest import SHARED_DATA
from tests.pipeline.sources.reading import read_all
from tests.processes import ROOT
from tests.rows import Rows, rows_of
from tests.samples import jpeg, write_photos

ODD = SHARED_DATA / "odd"
GIGABYTE_IN_KB = 1 << 20

pytestmark = [
    pytest.mark.skipif(not ODD.exists(), reason="../shared/data/odd is not here"),
    pytest.mark.timeout(1200),
]

# PNGs that Pillow refuses for their metadata, and a HEIC, which a plugin reads
READ_BEYOND_PILLOW = {"png_decompression_dos.png", "unknown_compression_method.png", "avif__hopper.heif"}

# Pillow alone, with every reader that it has but the one that runs ghostscript and the one that may call that one.
PILLOW = f"""
import resource, signal, sys, warnings
from pathlib import Path
from PIL import Image
warnings.simplefilter("ignore")
resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))
Image.init()
formats = [name for name in Image.OPEN if name not in ("EPS", "IPTC")]
for path in sorted(Path(sys.argv[1]).iterdir()):
    signal.alarm(60)
    try:
        with Image.open(path, formats=formats) as image:
            if image.width * image.height <= {MAX_PIXELS}:
                image.load()
                if image.width * image.height <= {MAX_PIXELS}:
                    print(path.name)
    except Exception:
        pass
"""


def run(folder: Path, table: Path, model: Path) -> int:
    """Embeds a folder; gives the KB that the command and the largest of its children held at the most."""
    options = ["--input", folder, "--table", table, "--model", model, "--local", "--max-reject-fraction", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", "embed", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    peaks: dict[int, int] = {}
    while process.poll() is None:
        peaks |= peaks_of_session(process.pid)
        time.sleep(0.02)
    assert process.returncode == 0
    own = peaks.pop(process.pid)
    return own + max(peaks.values())


def peaks_of_session(leader: int) -> dict[int, int]:
    """The most KB that each process of a session has held."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getsid(int(entry.name)) == leader:
                status = (entry / "status").read_text().splitlines()
                found |= {int(entry.name): int(line.split()[1]) for line in status if line.startswith("VmHWM:")}
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.fixture(scope="module")
def idle(model: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """KB that it takes to embed one small photo."""
    folder = tmp_path_factory.mktemp("idle")
    return run(write_photos(folder / "in", 1), folder / "t", model)


def embedded(folder: Path, table: Path, model: Path, idle: int) -> Rows:
    """The rows of a folder: every rejected one says why, and it took less than a gigabyte more than one photo."""
    peak = run(folder, table, model)
    rows = rows_of(table)
    assert all(row["stage"] and row["reason"] for row in rows.values() if row["status"] == "rejected")
    counts = Counter(f"{row['status']} {row['reason'] or ''}".strip() for row in rows.values())
    print(f"{folder.name}: {dict(counts)}; {(peak - idle) >> 10} MiB above {idle >> 10} MiB")
    assert peak - idle < GIGABYTE_IN_KB
    return rows


@pytest.mark.parametrize("folder", ["made", "orientation", "pillow"])
def test_every_image_that_pillow_decodes_is_embedded_and_every_other_is_a_row(
    tmp_path: Path, model: Path, idle: int, folder: str
) -> None:
    rows = embedded(ODD / "images" / folder, tmp_path / "t", model, idle)
    files = {path.name for path in (ODD / "images" / folder).iterdir()}
    assert {source for source, _ in rows} == files
    pillow = subprocess.run(
        [sys.executable, "-c", PILLOW, ODD / "images" / folder], capture_output=True, text=True, check=True, timeout=600
    )
    success = {source for (source, _), row in rows.items() if row["status"] == "success"}
    assert success == set(pillow.stdout.splitlines()) | (READ_BEYOND_PILLOW & files)


def test_every_tar_is_read_and_what_is_unreadable_is_named(tmp_path: Path, model: Path, idle: int) -> None:
    rows = embedded(ODD / "tars", tmp_path / "t", model, idle)
    reasons: dict[str, list[str | None]] = {source: [] for source, _ in rows}
    for (source, _), row in sorted(rows.items()):
        reasons[source].append(row["reason"])
    files = {path.name for path in (ODD / "tars").iterdir()}
    assert reasons.keys() == files - {"empty_valid.tar"}
    assert reasons["corrupt_third_header.tar"] == [None, None, "bad-tar", "no-image", None, None, None]
    assert reasons["bad_header_checksum.tar"] == ["bad-tar", "no-image", *[None] * 5]
    assert reasons["concatenated.tar"] == [None] * 12
    assert reasons["cut_mid_member.tar"] == [None, None, None, "bad-tar"]
    assert reasons["cut_no_eof_blocks.tar"] == [*[None] * 6, "bad-tar"]
    assert reasons["duplicate_key.tar"] == [None] * 3
    assert reasons["duplicate_member.tar"] == ["duplicate-key", "duplicate-key", None]
    # the last is a hard link to a member that is there
    assert reasons["traversal_abs_links.tar"] == [None, None, "bad-member", None]
    for name in ("garbage.tar", "zero.tar"):
        assert reasons[name] == ["bad-tar"]
    for name in ("plain.tar", "gz.tgz", "text_first.tar", "not_contiguous.tar", "unicode_long_pax.tar"):
        assert set(reasons[name]) == {None}


def test_every_parquet_file_is_read_or_rejected_row_by_row(tmp_path: Path) -> None:
    """Each as the later file of a dataset, with each of its columns of bytes as images; and as the first one."""
    outcomes: Counter[str] = Counter()
    first: Counter[str] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in sorted((ODD / "parquet").iterdir()):
        for column in _byte_columns(path) or ["image"]:
            folder = tmp_path / path.name / column
            folder.mkdir(parents=True)
            pq.write_table(pa.table({column: pa.array([jpeg(0)], pa.binary())}), folder / "0.parquet")
            (folder / "1.parquet").write_bytes(path.read_bytes())
            wanted = {"image_col": column, "keep_cols": (), "input_format": "parquet"}
            odd = [sample for sample in read_all(input=folder, **wanted) if sample.source.path == "1.parquet"]
            assert [sample.row for sample in odd] == list(range(odd[0].rows or 0 if odd else 0))
            outcomes.update((sample.reject.reason if sample.reject else "read") for sample in odd)
            try:
                samples = read_all(input=folder / "1.parquet", **wanted)
            except InputError as error:
                first["refused by name" if str(error).startswith("1.parquet: ") else "refused"] += 1
            else:
                assert [sample.row for sample in samples] == [sample.row for sample in odd]
                first["read"] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"parquet: rows {dict(outcomes)}; as first files {dict(first)}; {(peak - before) >> 10} MiB more")
    assert peak - before < GIGABYTE_IN_KB
    assert first["refused"] == 0
    assert outcomes["bad-parquet"] > 0
    assert outcomes["read"] > 0


def _byte_columns(path: Path) -> list[str]:
    try:
        found = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return []
    return [field.name for field in found if pa.types.is_binary(columns.element(field.type))]


def test_a_file_of_four_kilobytes_that_asks_for_two_gigabytes_is_refused() -> None:
    with pytest.raises(InputError, match=r"data__large_string_map\.brotli\.parquet: no column of images"):
        read_all(input=ODD / "parquet" / "data__large_string_map.brotli.parquet")
