"""Searching: every query against a brute-force ranking of the stored vectors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import siglip_core
from pipeline import search, table
from pipeline.errors import IdentityError, InputError, TableError, UsageError
from pipeline.search import Hit, Search
from siglip_core.errors import ImageError
from tests.embedding import embed
from tests.rows import rows_of
from tests.samples import jpeg, large_png, write_parquet, write_photos
from tests.tables import uids, write_table
from tests.tiny_model import make_model
from tests.web import endless_server, web_server


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    folder = tmp_path_factory.mktemp("search")
    write_photos(folder / "in", 30)
    (folder / "in" / "broken.jpg").write_bytes(b"no image")
    embed(folder / "in", folder / "t", model)
    return folder / "t"


@pytest.fixture(scope="module")
def opened(photos: Path) -> Search:
    return search.open(str(photos))


def ranked(photos: Path, query: np.ndarray) -> list[tuple[str, float]]:
    """(uid, cosine) of all embedded rows, best first."""
    rows = [row for row in rows_of(photos).values() if row["image_vector"] is not None]
    vectors = np.array([row["image_vector"] for row in rows], np.float64)
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    return sorted(((row["uid"], c) for row, c in zip(rows, cosines, strict=True)), key=lambda item: -item[1])


def assert_ranked(hits: list[Hit], expected: list[tuple[str, float]]) -> None:
    assert [hit.uid for hit in hits] == [uid for uid, _ in expected]
    np.testing.assert_allclose([hit.cosine for hit in hits], [cosine for _, cosine in expected], atol=1e-5)


def test_by_text(photos: Path, opened: Search, model: Path) -> None:
    encoder = siglip_core.load(model)
    hits = opened.by_text("a red square", k=7)
    assert_ranked(hits, ranked(photos, encoder.encode_text(["a red square"]).numpy()[0])[:7])
    for hit in hits:
        assert hit.logit == pytest.approx(encoder.logit_scale * hit.cosine + encoder.logit_bias, abs=1e-4)
        assert hit.probability == pytest.approx(1 / (1 + np.exp(-hit.logit)), rel=1e-4)


def test_by_image(photos: Path, opened: Search, model: Path) -> None:
    encoder = siglip_core.load(model)
    hits = opened.by_image(jpeg(4), k=5)
    assert_ranked(hits, ranked(photos, encoder.encode_image(encoder.preprocess(jpeg(4))[None]).numpy()[0])[:5])
    assert hits[0].source == "photo0004.jpg"
    assert {(hit.logit, hit.probability) for hit in hits} == {(None, None)}


def test_by_uid_finds_the_row_itself_first(opened: Search) -> None:
    uid = opened.by_image(jpeg(9), k=1)[0].uid
    hits = opened.by_uid(uid, k=3)
    assert hits[0].uid == uid
    assert hits[0].cosine == pytest.approx(1, abs=1e-6)


def test_more_than_there_are_gives_all_embedded_rows(opened: Search) -> None:
    assert len(opened.by_text("a", k=100)) == 30


def test_where_narrows_the_search(opened: Search) -> None:
    hits = opened.by_text("a red square", k=10, where="caption LIKE '%number 1_'")
    assert len(hits) == 10
    assert all("number 1" in str(hit.caption) for hit in hits)


def test_by_vector_takes_any_length(opened: Search, model: Path) -> None:
    vector = siglip_core.load(model).encode_text(["a red square"]).numpy()[0]
    expected = [hit.uid for hit in opened.by_text("a red square")]
    assert [hit.uid for hit in opened.by_vector(vector * 7)] == expected
    with pytest.raises(UsageError, match=r"shape \(3,\)"):
        opened.by_vector(np.ones(3))


def test_what_cannot_be_searched_for_is_refused(opened: Search) -> None:
    with pytest.raises(TableError, match="no embedded row has uid 'nobody'"):
        opened.by_uid("nobody")
    with pytest.raises(TableError, match="cannot search where"):
        opened.by_text("a", where="nope = 1")
    with pytest.raises(UsageError, match="k 0"):
        opened.by_text("a", k=0)
    with pytest.raises(ImageError):
        opened.by_image(b"no image")
    with pytest.raises(InputError, match=r"image absent\.jpg: No such file or directory"):
        opened.by_image("absent.jpg")
    with pytest.raises(UsageError, match="image of type list: give a file's path, or the file's bytes"):
        opened.by_image([1, 2])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="text of type list: give one str"):
        opened.by_text(["a", "b"])  # type: ignore[arg-type]


def test_an_image_is_given_as_bytes_or_as_a_path(photos: Path, opened: Search) -> None:
    file = photos.parent / "in" / "photo0004.jpg"
    assert opened.by_image(file, k=3) == opened.by_image(str(file), k=3) == opened.by_image(file.read_bytes(), k=3)


def test_an_image_is_given_as_a_uri(photos: Path, opened: Search) -> None:
    folder = photos.parent / "in"
    expected = [hit.uid for hit in opened.by_image(folder / "photo0004.jpg", k=3)]
    found = opened.by_image(f"file://{folder}/photo0004.jpg", k=3)
    assert [hit.uid for hit in found] == expected
    with web_server(folder) as url:
        for address in (f"{url}/photo0004.jpg", f"{url}/photo0004.jpg?signature=x"):
            assert [hit.uid for hit in opened.by_image(address, k=3)] == expected
        with pytest.raises(
            InputError, match=r"image http://\S+/absent\.jpg: there is no such file; give the path, URI"
        ):
            opened.by_image(f"{url}/absent.jpg")
        with pytest.raises(ImageError, match=r"image http://\S+/broken\.jpg: not an image") as broken:
            opened.by_image(f"{url}/broken.jpg")
        assert broken.value.reason == "decode"


def test_an_image_of_an_unknown_store_is_refused(opened: Search) -> None:
    with pytest.raises(InputError, match=r"image nowhere://a/b\.jpg: unknown protocol 'nowhere'; check --image"):
        opened.by_image("nowhere://a/b.jpg")


def test_an_image_with_too_many_bytes_is_not_read(
    photos: Path, opened: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.search.search.MAX_IMAGE_BYTES", 1_000)
    large = photos.parent / "large.jpg"
    large.write_bytes(jpeg(1, size=(400, 400)))
    assert large.stat().st_size > 1_000
    with endless_server() as url:
        for image in (large, str(large), f"file://{large}", url):
            with pytest.raises(InputError, match=r"image \S+: more than the limit of 1000 bytes; give a smaller copy"):
                opened.by_image(image)


def test_an_image_with_too_many_pixels_is_named(photos: Path, opened: Search) -> None:
    (photos.parent / "bomb.png").write_bytes(large_png(10_000))
    with pytest.raises(
        ImageError, match=r"image \S+bomb\.png: PNG of 10000 x 10000 pixels is above the limit"
    ) as found:
        opened.by_image(photos.parent / "bomb.png")
    assert found.value.reason == "too-large"


def test_a_table_that_is_made_anew_with_as_many_versions_is_searched(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t", np.eye(4, 8), np.eye(4, 8))
    opened = search.open(path)
    assert len(opened.by_vector(np.ones(8))) == 4
    shutil.rmtree(f"{path}.lance")
    write_table(path, np.eye(6, 8), np.eye(6, 8))
    assert len(opened.by_vector(np.ones(8))) == 6
    shutil.rmtree(f"{path}.lance")
    with pytest.raises(
        TableError, match=r"it is no longer there: it was deleted or moved; restore it, or name another"
    ):
        opened.by_vector(np.ones(8))


def test_what_a_fixed_version_lacks_is_to_be_made_in_the_newest(photos: Path) -> None:
    version = table.open_table(table.parse(str(photos))).version
    with pytest.raises(UsageError, match=rf"`siglane index --table {photos}` \(and leave out @{version}\)$"):
        search.open(f"{photos}@{version}").by_text("a", words="photo")
    with pytest.raises(UsageError, match=rf"`siglane index --table {photos}`$"):
        search.open(photos).by_text("a", words="photo")


def test_columns_whose_names_hold_what_was_typed_are_offered(opened: Search) -> None:
    with pytest.raises(UsageError, match=r"no column 'image'; choose from image_sha256, image_vector$"):
        opened.by_text("a", columns=["image"])
    with pytest.raises(UsageError, match="no column 'zzz'; choose from uid, key, source, "):
        opened.by_text("a", columns=["zzz"])


def test_another_model_is_refused(photos: Path, other_model: Path) -> None:
    with pytest.raises(IdentityError, match="its weights is "):
        search.open(str(photos), str(other_model)).by_text("a")


def test_the_same_weights_with_another_tokenizer_are_refused(photos: Path, model: Path, tmp_path: Path) -> None:
    make_model(tmp_path / "model", [f"other words {index} of another kind" for index in range(200)])
    shutil.copy(model / "model.safetensors", tmp_path / "model" / "model.safetensors")
    with pytest.raises(IdentityError, match="its tokenizer is "):
        search.open(str(photos), str(tmp_path / "model")).by_text("a")


def test_equal_images_are_ranked_by_uid(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in.parquet", [jpeg(1)] * 12 + [jpeg(2)] * 5, [f"caption {i}" for i in range(17)])
    embed(tmp_path / "in.parquet", tmp_path / "t", model)
    hits = search.open(str(tmp_path / "t")).by_image(jpeg(1), k=6, distinct=None)
    uids = sorted(row["uid"] for key, row in rows_of(tmp_path / "t").items() if key[1] < 12)
    assert [hit.uid for hit in hits] == uids[:6]


@pytest.mark.parametrize("order", ["as written", "reversed", "shuffled"])
def test_any_number_of_equal_images_is_ranked_by_uid(tmp_path: Path, order: str) -> None:
    count, equal = 2_000, 1_500
    vectors_ND = np.random.default_rng(1).normal(size=(count, 16))
    vectors_ND[:equal] = vectors_ND[0]
    vectors_ND /= np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    rows = {
        "as written": np.arange(count),
        "reversed": np.arange(count)[::-1],
        "shuffled": np.random.default_rng(2).permutation(count),
    }[order]
    write_table(tmp_path / "t", vectors_ND[rows], vectors_ND[rows])
    first = sorted(uid for uid, row in zip(uids(count), rows, strict=True) if row < equal)
    opened = search.open(str(tmp_path / "t"))
    for k in (5, 100, equal):
        assert [hit.uid for hit in opened.by_vector(vectors_ND[0], k=k, distinct=None)] == first[:k]


@pytest.mark.parametrize("number", [0.0, float("nan"), float("inf")])
def test_a_vector_without_direction_is_refused(opened: Search, number: float) -> None:
    with pytest.raises(UsageError, match="no direction"):
        opened.by_vector(np.full(96, number))


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no table at"):
        search.open(str(tmp_path / "nothing"))


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Eight photos with five captions each."""
    folder = tmp_path_factory.mktemp("captioned")
    images = [jpeg(number // 5) for number in range(40)]
    captions = [f"photo {number // 5}, caption {number % 5}" for number in range(40)]
    write_parquet(folder / "in.parquet", images, captions)
    embed(folder / "in.parquet", folder / "t", model)
    return folder / "t"


def test_a_photo_is_one_hit_with_all_its_captions(captioned: Path) -> None:
    hits = search.open(str(captioned)).by_image(jpeg(3), k=4)
    assert hits[0].cosine == pytest.approx(1, abs=1e-3)
    assert sorted(hits[0].captions) == [f"photo 3, caption {caption}" for caption in range(5)]
    assert hits[0].caption in hits[0].captions
    assert len({hit.captions for hit in hits}) == 4


def test_rows_are_hits_of_their_own_where_that_is_asked_for(captioned: Path) -> None:
    hits = search.open(str(captioned)).by_image(jpeg(3), k=6, distinct=None)
    assert [hit.caption in {f"photo 3, caption {caption}" for caption in range(5)} for hit in hits] == [True] * 5 + [
        False
    ]


def test_pages_continue_each_other(captioned: Path) -> None:
    opened = search.open(str(captioned))
    for distinct in ("image", None):
        whole = opened.by_text("photo 1", k=8, distinct=distinct)
        pages = [opened.by_text("photo 1", k=3, offset=offset, distinct=distinct) for offset in (0, 3, 6)]
        assert [hit.uid for page in pages for hit in page][:8] == [hit.uid for hit in whole]
    assert opened.by_text("photo 1", k=3, offset=8) == []


def test_captions_are_searched_too(captioned: Path) -> None:
    opened = search.open(str(captioned))
    (hit,) = opened.by_text("photo 6, caption 2", k=1, against="text", distinct=None)
    assert (hit.caption, hit.logit, hit.probability) == ("photo 6, caption 2", None, None)
    assert hit.cosine == pytest.approx(1, abs=1e-3)
    across = opened.by_image(jpeg(6), k=1, against="text")
    assert across[0].probability is not None


def test_a_sum_of_terms_is_ranked_by_its_vector(captioned: Path, model: Path) -> None:
    opened, encoder = search.open(str(captioned)), siglip_core.load(model)
    text_2D = encoder.encode_text(["photo 1", "photo 2"]).numpy()
    image_D = encoder.encode_image(encoder.preprocess(jpeg(3))[None]).numpy()[0]
    query = 2 * search.text("photo 1") + search.image(jpeg(3)) - search.text("photo 2")
    hits = opened.by(query, k=40, distinct=None)
    assert_ranked_loosely(hits, ranked(captioned, 2 * text_2D[0] + image_D - text_2D[1]))
    assert hits[0].probability is None  # no sigmoid was learned for a mixture


def assert_ranked_loosely(hits: list[Hit], expected: list[tuple[str, float]]) -> None:
    """Ties of equal images may come in another order."""
    np.testing.assert_allclose([hit.cosine for hit in hits], [cosine for _, cosine in expected], atol=1e-5)
    assert {hit.uid for hit in hits} == {uid for uid, _ in expected}


def test_a_sum_of_texts_has_a_probability(captioned: Path) -> None:
    hits = search.open(str(captioned)).by(search.text("photo 1") + search.text("caption 2"), k=1)
    assert hits[0].probability is not None


def test_terms_that_cancel_each_other_are_refused(captioned: Path) -> None:
    opened = search.open(str(captioned))
    with pytest.raises(UsageError, match="cancel each other"):
        opened.by(search.text("a") - search.text("a"))
    with pytest.raises(UsageError, match="weight 0"):
        0 * search.text("a")


def test_many_queries_give_what_each_gives_alone(captioned: Path) -> None:
    opened = search.open(str(captioned))
    found = opened.many(["photo 1", search.image(jpeg(2)), "photo 4"], k=3)
    alone = [opened.by_text("photo 1", 3), opened.by_image(jpeg(2), 3), opened.by_text("photo 4", 3)]
    assert [[hit.uid for hit in hits] for hits in found] == [[hit.uid for hit in hits] for hits in alone]
    assert opened.many([]) == []


def test_hits_have_the_columns_that_are_asked_for(captioned: Path) -> None:
    opened = search.open(str(captioned))
    (hit,) = opened.by_image(jpeg(3), k=1, columns=["source_row", "caption", "original_width"])
    assert hit.columns == {"source_row": hit.columns["source_row"], "original_width": 40}
    assert 15 <= hit.columns["source_row"] < 20
    with pytest.raises(UsageError, match="no column 'original_widht'; choose from original_width"):
        opened.by_image(jpeg(3), columns=["original_widht"])
    with pytest.raises(UsageError, match="a hit has its own cosine"):
        opened.by_image(jpeg(3), columns=["cosine"])


def test_hits_below_a_probability_are_left_out(captioned: Path) -> None:
    opened = search.open(str(captioned))
    probabilities = [hit.probability or 0 for hit in opened.by_text("photo 1", k=8)]
    assert len(opened.by_text("photo 1", k=8, min_probability=probabilities[2])) == 3
    assert opened.by_text("photo 1", k=8, min_probability=1.0) == []
    with pytest.raises(UsageError, match="min_probability is for a query of the other kind"):
        opened.by_image(jpeg(1), min_probability=0.5)


def test_hits_are_tables_too(captioned: Path) -> None:
    hits = search.open(str(captioned)).by_text("photo 1", k=3, columns=["source_row"])
    arrow, pandas = hits.to_arrow(), hits.to_pandas()
    assert arrow["uid"].to_pylist() == pandas["uid"].tolist() == [hit.uid for hit in hits]
    assert arrow["source_row"].to_pylist() == [hit.columns["source_row"] for hit in hits]
    assert arrow["captions"].to_pylist() == [list(hit.captions) for hit in hits]


def test_a_table_without_hits_has_the_same_columns(captioned: Path) -> None:
    opened, columns = search.open(captioned), ["source_row", "stage", "image_vector"]
    some = opened.by_text("photo 1", k=3, columns=columns).to_arrow()
    assert some.schema.field("stage").type == "string"  # although it is null in every row
    assert opened.by_text("photo 1", where="source_row < 0", columns=columns).to_arrow().schema == some.schema
    assert opened.by_text("photo 1", min_probability=1.0, columns=columns).to_arrow().schema == some.schema


def test_a_row_s_caption_is_a_query(captioned: Path) -> None:
    opened = search.open(str(captioned))
    (row,) = opened.by_text("photo 5, caption 1", k=1, against="text", distinct=None)
    (hit, *_) = opened.by(search.uid(row.uid, "text"), k=1, against="text", distinct=None)
    assert hit.uid == row.uid


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"limit": 3}, "limit: no such option"),
        ({"against": "images"}, "against 'images'"),
        ({"distinct": "row"}, "distinct 'row'"),
        ({"min_probability": 2.0}, "min_probability 2.0"),
        ({"min_probability": float("nan")}, "min_probability nan"),
        ({"offset": -1}, "offset -1"),
        ({"k": 10**20}, "k 1000"),
        ({"k": "2"}, "k '2'"),
    ],
)
def test_an_option_that_is_not_possible_is_refused(opened: Search, more: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        opened.by_text("a", **more)


def test_a_query_that_is_none_is_refused(opened: Search) -> None:
    with pytest.raises(UsageError, match="one str is one query"):
        opened.many("a red disc")
    with pytest.raises(UsageError, match="'audio'"):
        search.vector(np.ones(96), "audio")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="uid of type int"):
        opened.by_uid(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_vectors_of_any_length_are_taken_alone_and_in_sums(opened: Search, length: float) -> None:
    direction = np.random.default_rng(0).normal(size=96)
    wanted = [hit.uid for hit in opened.by_vector(direction, k=5)]
    assert [hit.uid for hit in opened.by_vector(direction * length, k=5)] == wanted
    total = length * search.text("a") + length * search.vector(direction * length)
    alone = search.text("a") + search.vector(direction)
    assert [hit.uid for hit in opened.by(total)] == [hit.uid for hit in opened.by(alone)]


@pytest.mark.parametrize("column", ["image_vector", "text_vector"])
def test_vectors_are_columns_too(opened: Search, column: str) -> None:
    (hit,) = opened.by_text("a", k=1, columns=[column])
    assert len(hit.columns[column]) == 96
