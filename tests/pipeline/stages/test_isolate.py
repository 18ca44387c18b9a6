"""What kills or hangs the process that decodes it costs one sample."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.deadly_images import broken_decoder
from tests.processes import Siglane, kill_process_group, processes_of_session, wait_for
from tests.rows import Rows, rows_of
from tests.samples import jpeg, write_parquet, write_photos

ONCE = """
if b"ONCE" in image and not os.path.exists(os.environ["ONCE"]):
    open(os.environ["ONCE"], "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
if b"LATER" in image and not os.path.exists(os.environ["ONCE"] + " more"):
    open(os.environ["ONCE"] + " more", "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
"""
BROKEN_PARQUET = """
if "pipeline.stages.child" in " ".join(sys.orig_argv):
    import pyarrow.parquet
    unpack, open_parquet = pyarrow.parquet.ParquetFile.iter_batches, pyarrow.parquet.ParquetFile.__init__
    def iter_batches(self, rows, groups, names, use_threads):
        if (self.schema_arrow.metadata or {}).get(b"deadly group") == str(groups[0]).encode():
            os.kill(os.getpid(), signal.SIGSEGV)
        return unpack(self, rows, groups, names, use_threads=use_threads)
    def __init__(self, file, *arguments, **more):
        file.seek(0)
        if b"DEADLY FILE" in file.read():
            os.kill(os.getpid(), signal.SIGSEGV)
        open_parquet(self, file, *arguments, **more)
    pyarrow.parquet.ParquetFile.iter_batches, pyarrow.parquet.ParquetFile.__init__ = iter_batches, __init__
    from pipeline.stages import decode
    decode.PAIRS_PER_WINDOW = 4  # so that what was read before a crash has been handed on already
"""


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Siglane:
    """`siglane` with image libraries that some images kill."""
    (tmp_path / "site" / "siglane_sabotage.py").parent.mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(broken_decoder("pipeline.stages.child", ONCE) + BROKEN_PARQUET)
    monkeypatch.setenv("ONCE", str(tmp_path / "once"))
    return Siglane(tmp_path, tmp_path / "site")


def embedded(fragile: Siglane, model: Path, *options: object) -> tuple[dict[str, object], Rows]:
    summary = fragile("embed", "--input", "in", "--table", "t", "--model", model, "--local", *options)
    return summary, rows_of(fragile.folder / "t")


def test_images_that_kill_their_process_are_rejected_alone(fragile: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 10)
    for index, end in ((2, b"SEGFAULT"), (3, b"EXIT"), (7, b"SEGFAULT")):
        (tmp_path / "in" / f"photo{index:04d}.jpg").write_bytes(jpeg(index) + end)

    summary, rows = embedded(fragile, model, "--max-reject-fraction", 0.5)

    assert (summary["read"], summary["rejected_by_reason"]) == (10, {"crash": 3})
    assert {row["key"] for row in rows.values() if row["status"] == "success"} == {
        f"photo{index:04d}" for index in range(10) if index not in (2, 3, 7)
    }
    crashed = rows["photo0002.jpg", 0]
    assert (crashed["stage"], crashed["caption"]) == ("decode", "two birds on a wire, number 2")
    assert crashed["error_message"] == "decoding the image killed the process (SIGSEGV), twice"
    assert rows["photo0003.jpg", 0]["error_message"] == "decoding the image ended the process with code 3, twice"


def test_every_pair_of_a_photo_that_kills_its_process_is_rejected(
    fragile: Siglane, tmp_path: Path, model: Path
) -> None:
    bad = jpeg(0) + b"SEGFAULT"
    write_parquet(tmp_path / "in" / "a.parquet", [bad, jpeg(1), bad, jpeg(2)], ["a", "b", "c", "d"])
    _, rows = embedded(fragile, model, "--max-reject-fraction", 0.5)
    assert [rows["a.parquet", row]["reason"] for row in range(4)] == ["crash", None, "crash", None]


def test_a_row_group_that_kills_its_process_is_rejected_alone(fragile: Siglane, tmp_path: Path, model: Path) -> None:
    for name, deadly in (("a", "1"), ("b", "none")):
        rows = pa.table({"image": [jpeg(n) for n in range(9)], "caption": [f"caption {n}" for n in range(9)]})
        (tmp_path / "in").mkdir(exist_ok=True)
        marked = rows.replace_schema_metadata({"deadly group": deadly})
        pq.write_table(marked, tmp_path / "in" / f"{name}.parquet", row_group_size=3)
    summary, rows_by_place = embedded(fragile, model, "--max-reject-fraction", 0.5)
    assert (summary["success"], summary["rejected_by_reason"]) == (15, {"crash": 3})
    assert [rows_by_place["a.parquet", row]["reason"] for row in range(9)] == [*[None] * 3, *["crash"] * 3, *[None] * 3]
    crashed = rows_by_place["a.parquet", 4]
    assert (crashed["stage"], crashed["source_rows"]) == ("read", 9)
    assert crashed["error_message"] == (
        "a.parquet: rows 3 to 5: reading killed the process (SIGSEGV), twice; fix or remove the file"
    )
    again, _ = embedded(fragile, model)
    assert again["read"] == 0


def test_a_later_parquet_file_that_kills_its_process_is_one_rejected_row(
    fragile: Siglane, tmp_path: Path, model: Path
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(0), jpeg(1)], ["a", "b"])
    write_parquet(tmp_path / "in" / "b.parquet", [jpeg(2)], ["DEADLY FILE"])
    write_parquet(tmp_path / "in" / "c.parquet", [jpeg(3)], ["c"])
    summary, rows = embedded(fragile, model, "--max-reject-fraction", 0.5)
    assert (summary["success"], summary["rejected_by_reason"]) == (3, {"crash": 1})
    assert rows["b.parquet", 0]["error_message"].startswith("b.parquet: reading killed the process (SIGSEGV), twice")


def test_an_image_that_never_ends_is_cut_off(fragile: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 3)
    (tmp_path / "in" / "photo0001.jpg").write_bytes(jpeg(1) + b"HANG")
    summary, rows = embedded(fragile, model, "--sample-seconds", 2, "--max-reject-fraction", 0.5)
    assert summary["rejected_by_reason"] == {"timeout": 1}
    assert rows["photo0001.jpg", 0]["error_message"] == "decoding the image took more than 2 s, twice"


def test_a_process_killed_once_rejects_nothing(fragile: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 3)
    (tmp_path / "in" / "photo0001.jpg").write_bytes(jpeg(1) + b"ONCE")
    summary, _ = embedded(fragile, model)
    assert (tmp_path / "once").exists()
    assert (summary["success"], summary["rejected"]) == (3, 0)


def test_processes_killed_once_each_at_two_images_reject_nothing(fragile: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 9)
    (tmp_path / "in" / "photo0001.jpg").write_bytes(jpeg(1) + b"ONCE")
    (tmp_path / "in" / "photo0007.jpg").write_bytes(jpeg(7) + b"LATER")
    summary, _ = embedded(fragile, model)
    assert (tmp_path / "once more").exists()
    assert (summary["success"], summary["rejected"]) == (9, 0)


def test_the_child_of_a_killed_run_ends_though_its_image_hangs(fragile: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    (tmp_path / "in" / "photo0000.jpg").write_bytes(jpeg(0) + b"HANG")
    process = fragile.start("embed", "--input", "in", "--table", "t", "--model", model, "--local")
    wait_for(lambda: len(processes_of_session(process.pid)) == 2, "no child was started")
    kill_process_group(process)
    wait_for(lambda: not processes_of_session(process.pid), "the child lives on")
