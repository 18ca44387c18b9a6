"""The test assets of clip-retrieval, webdataset, data-juicer and img2dataset, read whole.

Skipped where ../shared/data is absent.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conftest import SHARED_DATA
from tests.pipeline.sources.reading import planned, read_all

PEERS = SHARED_DATA / "peers"

pytestmark = pytest.mark.skipif(not PEERS.exists(), reason="../shared/data/peers is not here")


def test_tars_and_images_of_clip_retrieval() -> None:
    tests = PEERS / "clip-retrieval" / "tests" / "test_clip_inference"
    samples = read_all(input=tests / "test_tars")
    assert Counter(s.source.path for s in samples) == {
        "image1.tar": 4,
        "image2.tar": 3,
        "image3.tar": 2,
        "image4.tar": 2,
    }
    images = {sample.key: sample.image for sample in read_all(input=tests / "test_images")}
    assert all(sample.image == images[sample.key] for sample in samples)
    assert not planned(input=tests / "test_tars")[0][0].captioned


@pytest.mark.parametrize(
    ("name", "samples", "images"),
    [
        ("sample.tgz", 90, 90),
        ("mpdata.tar", 100, 0),
        ("tendata.tar", 100, 0),
        ("testgz.tar", 1000, 0),
        ("compressed.tar", 3, 0),
    ],
)
def test_tars_of_webdataset(name: str, samples: int, images: int) -> None:
    """Most hold no images: each sample is a row that says what it holds instead."""
    found = read_all(input=PEERS / "webdataset" / "testdata" / name)
    assert len(found) == samples
    assert sum(sample.image is not None for sample in found) == images
    assert all(s.reject is not None and s.reject.reason == "no-image" for s in found if s.image is None)


def test_parquet_and_jsonl_of_data_juicer_hold_the_same_pairs() -> None:
    folder = PEERS / "data-juicer" / "demos" / "data"
    images = PEERS / "data-juicer" / "tests" / "ops" / "data"
    in_parquet = read_all(input=folder / "demo-dataset-images-bytes.parquet")
    in_jsonl = read_all(input=folder / "demo-dataset-images.jsonl", allow_uri=(str(images),))
    assert [sample.caption for sample in in_parquet] == [sample.caption for sample in in_jsonl]
    assert [sample.image for sample in in_parquet] == [sample.image for sample in in_jsonl]
    assert [sample.image for sample in in_jsonl] == [
        (images / name).read_bytes() for name in ("img1.png", "img2.jpg", "img3.jpg")
    ]
    outside = read_all(input=folder / "demo-dataset-images.jsonl")
    assert [sample.reject and sample.reject.reason for sample in outside] == ["forbidden-uri"] * 3


@pytest.mark.parametrize(("name", "rows"), [("test_1000", 1000), ("test_10000", 10_000), ("sample_image", 2)])
def test_url_lists_of_img2dataset_are_read_and_no_url_is_fetched_unasked(name: str, rows: int) -> None:
    samples = read_all(input=PEERS / "img2dataset" / "tests" / "test_files" / f"{name}.parquet")
    assert [sample.row for sample in samples] == list(range(rows))
    # the few without a scheme are taken for paths beside the list, where nothing is
    assert {sample.reject and sample.reject.reason for sample in samples} <= {"forbidden-uri", "no-image"}
    assert sum(sample.reject.reason == "no-image" for sample in samples if sample.reject) < 10


@pytest.mark.parametrize(("folder", "images"), [("resize_test_image", 7), ("blur_test_files", 8)])
def test_images_of_img2dataset(folder: str, images: int) -> None:
    samples = read_all(input=PEERS / "img2dataset" / "tests" / folder, input_format="folder")
    assert len(samples) >= images - 1
    assert all(sample.image for sample in samples)
