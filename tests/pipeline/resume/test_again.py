"""What a later run does over: changed sources and rejected rows, where it is told to; removed pairs never."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import table
from pipeline.embedding.plan import EmbedOptions, plan
from pipeline.errors import InputError
from pipeline.stages import decode
from tests.embedding import embed
from tests.processes import Siglane
from tests.rows import assert_same_rows, rows_of
from tests.samples import jpeg, write_parquet, write_photos, write_tar


def write_tars(folder: Path, counts: tuple[int, ...], word: str) -> Path:
    for tar, count in enumerate(counts):
        members = [(f"{tar}-{n}.jpg", jpeg(n)) for n in range(count)]
        captions = [(f"{tar}-{n}.txt", f"{word} {n}".encode()) for n in range(count)]
        write_tar(folder / f"{tar}.tar", members + captions)
    return folder


def statuses(at: Path) -> dict[str, str]:
    return {row["key"]: row["status"] for row in rows_of(at, ["source", "source_row", "key", "status"]).values()}


def test_changed_sources_are_replaced_and_others_are_left(tmp_path: Path, model: Path) -> None:
    folder = write_tars(tmp_path / "in", (4, 4, 4, 1), "a caption")
    embed(folder, tmp_path / "t", model)
    write_tars(folder, (4,), "a caption")  # the same content with another time
    os.utime(folder / "0.tar", (1_000_000_000, 1_000_000_000))
    write_tar(folder / "1.tar", [("1-0.jpg", jpeg(7)), ("1-0.txt", b"other"), ("1-9.jpg", b"broken")])
    changed = (folder / "2.tar").read_bytes().replace(b"a caption 1", b"b caption 1")
    (folder / "2.tar").write_bytes(changed)  # the same size
    os.utime(folder / "2.tar", (1_000_000_000, 1_000_000_000))
    outcomes = embed(folder, tmp_path / "t", model, replace_changed=True)
    assert outcomes == {("success", None): 5, ("rejected", "no-caption"): 1}
    embed(folder, tmp_path / "fresh", model)
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(tmp_path / "fresh"))
    assert embed(folder, tmp_path / "t", model, replace_changed=True) == {}


def test_the_rows_of_a_source_that_has_become_empty_go(tmp_path: Path, model: Path) -> None:
    for file in range(2):
        write_parquet(tmp_path / "in" / f"{file}.parquet", [jpeg(file)] * 2, ["a", "b"])
    embed(tmp_path / "in", tmp_path / "t", model)
    nothing = pa.table({"image": pa.array([], pa.binary()), "caption": pa.array([], pa.string())})
    pq.write_table(nothing, tmp_path / "in" / "1.parquet")
    assert embed(tmp_path / "in", tmp_path / "t", model, replace_changed=True) == {}
    assert rows_of(tmp_path / "t").keys() == {("0.parquet", 0), ("0.parquet", 1)}


@pytest.mark.parametrize("content", ["as it was", "another"])
def test_a_source_held_in_two_versions_is_compared_though_one_of_them_is_its_own(
    tmp_path: Path, model: Path, content: str
) -> None:
    """As two runs leave it that read it in different places at one time."""
    folder = write_tars(tmp_path / "in", (4,), "a caption")
    embed(folder, tmp_path / "t", model)
    version = next(iter(rows_of(tmp_path / "t").values()))["source_version"]
    size = version.partition("-")[0]
    other = {"source_version": f"'{size}-1000000000.000000'"}
    more = {} if content == "as it was" else {"caption": "'of another file'"}
    lance.dataset(str(tmp_path / "t.lance")).update(other | more, where="source_row >= 2")
    if content == "another":
        with pytest.raises(InputError, match=r"0\.tar: changed since .*\(row 2 has another caption\)"):
            embed(folder, tmp_path / "t", model)
    else:
        assert embed(folder, tmp_path / "t", model) == {}
        assert {row["source_version"] for row in rows_of(tmp_path / "t").values()} == {version}


def test_a_replacement_that_is_cut_off_leaves_the_old_rows(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tars(tmp_path / "in", (6, 6), "a caption")
    embed(folder, tmp_path / "t", model)
    before = rows_of(tmp_path / "t")
    write_tars(folder, (5, 5), "another caption")
    write_photos(tmp_path / "more", 1)
    monkeypatch.setattr(decode, "PAIRS_PER_WINDOW", 2)
    real, calls = decode.decode, iter(range(100))

    def fails_in_the_second_tar(*arguments: object, **more: object) -> object:
        if next(calls) == 8:
            raise OSError("the store is gone")
        return real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(decode, "decode", fails_in_the_second_tar)
    with pytest.raises(OSError, match="gone"):
        embed(folder, tmp_path / "t", model, replace_changed=True)
    now = rows_of(tmp_path / "t")
    assert {row["caption"] for place, row in now.items() if place[0] == "0.tar"} == {
        f"another caption {n}" for n in range(5)
    }
    assert {place: row for place, row in now.items() if place[0] == "1.tar"} == {
        place: row for place, row in before.items() if place[0] == "1.tar"
    }
    assert embed(folder, tmp_path / "t", model, replace_changed=True).total() == 5
    assert len(rows_of(tmp_path / "t")) == 10


def test_rejected_rows_are_tried_again_for_the_reasons_named(
    tmp_path: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = [jpeg(0), jpeg(1, (60, 60)), b"broken", None]
    write_parquet(tmp_path / "in.parquet", images, ["a", "b", "c", "d"])
    tight = {"max_pixels": 2000}
    first = embed(tmp_path / "in.parquet", tmp_path / "t", model, **tight)
    assert first == {("success", None): 1} | {("rejected", why): 1 for why in ("too-large", "decode", "no-image")}
    before = rows_of(tmp_path / "t")

    again = embed(tmp_path / "in.parquet", tmp_path / "t", model, retry_rejected=["too-large", "no-image"])
    assert again == {("success", None): 1, ("rejected", "no-image"): 1}
    after = rows_of(tmp_path / "t")
    assert [row["status"] for _, row in sorted(after.items())] == ["success", "success", "rejected", "rejected"]
    assert [after["in.parquet", row] for row in (0, 2)] == [before["in.parquet", row] for row in (0, 2)]

    assert embed(tmp_path / "in.parquet", tmp_path / "t", model, retry_rejected=[]).total() == 2
    assert len(rows_of(tmp_path / "t")) == 4
    options = {"input": str(tmp_path / "in.parquet"), "table": str(tmp_path / "t"), "model": str(model)}
    for reasons, skipped in ((None, 4), ((), 2), (("decode",), 3)):
        assert plan(EmbedOptions.model_validate({**options, "retry_rejected": reasons})).skipped == skipped
    with caplog.at_level(logging.WARNING):
        assert embed(tmp_path / "in.parquet", tmp_path / "t", model, retry_rejected=["tooo-large"]) == {}
    assert "no row of this input was rejected for tooo-large" in caplog.text


def test_a_removed_pair_is_never_embedded_again(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tars(tmp_path / "in", (4,), "a caption")
    write_tar(folder / "1.tar", [("x.jpg", b"broken"), ("x.txt", b"x"), ("y.jpg", jpeg(9)), ("y.txt", b"y")])
    embed(folder, tmp_path / "t", model)
    assert table.remove_rows(table.parse(str(tmp_path / "t")), "key IN ('0-1', '0-2', 'x')") == 3
    assert embed(folder, tmp_path / "t", model, retry_rejected=[]) == {}

    # in the new version 0-1 has another image, 0-2 another name, and there are pairs before them
    members = [("a", 5), ("0-1", 6), ("b", 2), ("0-3", 3)]
    write_tar(
        folder / "0.tar",
        [
            part
            for key, seed in members
            for part in ((f"{key}.jpg", jpeg(seed)), (f"{key}.txt", b"a longer caption" * 99))
        ],
    )
    decoded = []
    real = decode.decode
    monkeypatch.setattr(
        decode, "decode", lambda image, *rest, **more: decoded.append(image) or real(image, *rest, **more)
    )
    outcomes = embed(folder, tmp_path / "t", model, replace_changed=True, retry_rejected=[])
    assert outcomes == {("success", None): 2, ("removed", None): 2}
    assert decoded == [jpeg(5), jpeg(3)]
    assert statuses(tmp_path / "t") == {
        **{"a": "success", "0-1": "removed", "b": "removed", "0-3": "success"},
        **{"x": "removed", "y": "success"},
    }
    for row in rows_of(tmp_path / "t").values():
        if row["status"] == "removed":
            assert {row[name] for name in ("caption", "image_vector", "text_vector", "original_width", "reason")} == {
                None
            }


def test_pairs_are_removed_by_uid_and_by_sql(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    folder = write_photos(tmp_path / "in", 6)
    embed(folder, tmp_path / "t", model)
    uids = [row["uid"] for row in rows_of(tmp_path / "t").values()]
    (tmp_path / "uids.txt").write_text(f"{uids[0]}\n{uids[1]}\n\n{'0' * 32}\n")
    counted = siglane("remove", "--table", "t", "--uids", "uids.txt", "--dry-run")
    assert (counted["removed"], counted["not_found"], counted["dry_run"]) == (2, 1, True)
    done = siglane("remove", "--table", "t", "--uids", "uids.txt")
    assert (done["removed"], done["already_removed"], done["not_found"]) == (2, 0, 1)
    done = siglane("remove", "--table", "t", "--where", "member IN ('photo0000.jpg', 'photo0005.jpg')")
    assert done["removed"] == 1
    done = siglane("remove", "--table", "t", "--uids", "uids.txt")
    assert (done["removed"], done["already_removed"], done["not_found"]) == (0, 2, 1)
    assert list(statuses(tmp_path / "t").values()).count("removed") == 3
    assert siglane("score", "--table", "t")["scored"] == 3

    run = siglane("embed", "--input", "in", "--table", "t", "--model", model, "--local", "--retry-rejected")
    assert (run["read"], run["skipped"]) == (0, 6)
    (tmp_path / "uids.txt").write_text("a red square\n")
    assert "entry 1, 'a', is not a uid" in siglane.fails("remove", "--table", "t", "--uids", "uids.txt", code=2)
    assert "give one of --uids, --urls, --keys, --sha256, --where" in siglane.fails("remove", "--table", "t", code=2)
    assert "cannot read rows where" in siglane.fails("remove", "--table", "t", "--where", "colour = 1", code=1)
