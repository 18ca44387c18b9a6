"""Datasets in the layouts that other tools write and people publish: each is read with `--input` alone, or refused at
once with the one option to give."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import sources
from pipeline.errors import InputError
from tests.pipeline.sources.reading import planned, read_all
from tests.samples import jpeg, write_saved_dataset, write_tar

Pairs = Sequence[tuple[int, str]]
"""(the seed of the image, its caption)"""
PAIRS: Pairs = [(0, "a red square"), (1, "two birds, on a wire"), (2, "the sea at night")]
SEVERAL: Pairs = [(seed, f"{caption}, text {number}") for seed, caption in PAIRS for number in range(2)]
Layout = Callable[[Path], Pairs]
LAYOUTS: dict[str, Layout] = {}


def layout(name: str) -> Callable[[Layout], Layout]:
    """Adds a layout: a function that writes a dataset below a folder, and gives the pairs that are to be read."""

    def add(write: Layout) -> Layout:
        LAYOUTS[name] = write
        return write

    return add


def write(file: Path, content: str | bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def write_images(folder: Path, name: str = "{}.jpg") -> None:
    for seed, _ in PAIRS:
        write(folder / name.format(seed), jpeg(seed))


def as_line(seed: int, caption: str) -> str:
    return f"{caption}\n"


def sidecars(images: str, texts: str, content: Callable[[int, str], str] = as_line, pairs: Pairs = PAIRS) -> Layout:
    """A text file beside each image. `content` gives what it holds, by the seed and the caption."""

    def layout(root: Path) -> Pairs:
        write_images(root, images)
        for seed, caption in PAIRS:
            write(root / texts.format(seed), content(seed, caption))
        return pairs

    return layout


LAYOUTS |= {
    "kohya: .txt": sidecars("img/10_dog/{}.png", "img/10_dog/{}.txt"),
    "kohya: .caption": sidecars("img/10_dog/{}.png", "img/10_dog/{}.caption"),
    "the image's whole name and .txt": sidecars("{}.jpg", "{}.jpg.txt"),
    "names in capitals": sidecars("{}.JPG", "{}.TXT"),
    "images/ and captions/": sidecars("images/{}.jpg", "captions/{}.txt"),
    "images/ and captions/ of two splits": sidecars("images/train/{}.jpg", "captions/train/{}.txt"),
    "images/ and text/ in a split": sidecars("train/images/{}.jpg", "train/text/{}.txt"),
    "captions/ below the images": sidecars("{}.jpg", "captions/{}.txt"),
}


@layout("kohya: with cached latents")
def kohya_with_latents(root: Path) -> Pairs:
    for seed, _ in PAIRS:
        write(root / f"{seed}.npz", b"PK\x03\x04")
        write(root / f"{seed}_0064x0064_sdxl.npz", b"PK\x03\x04")
    return sidecars("{}.png", "{}.caption")(root)


def records(field: str, several: bool = False) -> Layout:
    """JSON records beside the images, with the captions in a field of this name."""

    def record(seed: int, caption: str) -> str:
        texts = [text for of, text in SEVERAL if of == seed]
        return json.dumps({"width": 40, field: texts if several else caption})

    return sidecars("{}.jpg", "{}.json", record, SEVERAL if several else PAIRS)


LAYOUTS |= {f"records beside images: {field}": records(field) for field in ("caption", "text", "Caption", "title")}
LAYOUTS |= {f"records beside images: {field}, lists": records(field, True) for field in ("captions", "sentences")}


def shard(*members: str, more: Sequence[str] = ()) -> Layout:
    """A tar of an image, a text or record, and other members a sample. `{}` stands for the seed."""

    def layout(root: Path) -> Pairs:
        image, text = members
        found: list[tuple[str, bytes]] = []
        for seed, caption in PAIRS:
            field = text.rpartition(":")[2]
            several = [each for of, each in SEVERAL if of == seed]
            content = json.dumps({"width": 4, field: several if field == "captions" else caption})
            name = text.partition(":")[0].format(seed)
            found += [(image.format(seed), jpeg(seed)), (name, (content if ":" in text else caption).encode())]
            found += [(other.format(seed), b"7") for other in more]
        write_tar(root / "00000.tar", found)
        return SEVERAL if text.endswith("captions") else PAIRS

    return layout


LAYOUTS |= {
    "tar: jpg, json with text": shard("{}.jpg", "{}.json:text"),
    "tar: jpg, json with TEXT": shard("{}.jpg", "{}.json:TEXT"),
    "tar: jpg, json with captions": shard("{}.jpg", "{}.json:captions"),
    "tar: jpeg, caption": shard("{}.jpeg", "{}.caption"),
    "tar: jpg, text, cls": shard("{}.jpg", "{}.text", more=["{}.cls"]),
    "tar: input.jpg, outputs.txt": shard("s{}.input.jpg", "s{}.outputs.txt"),
    "tar: input.jpg, caption.txt, other members": shard("s{}.input.jpg", "s{}.caption.txt", more=["s{}.cls"]),
}


def table_of(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes records as JSONL, CSV, TSV or Parquet, by the suffix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), file)
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with file.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, rows[0], delimiter="\t" if file.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)


def imagefolder(suffix: str, splits: Sequence[str], field: str = "text") -> Layout:
    """Hugging Face's imagefolder with metadata: one file for each split."""

    def layout(root: Path) -> Pairs:
        for place, split in enumerate(splits):
            own = PAIRS[place :: len(splits)]
            for seed, _ in own:
                write(root / split / f"{seed}.png", jpeg(seed))
            rows = [{"file_name": f"{seed}.png", field: caption, "url": "http://host/x"} for seed, caption in own]
            table_of(root / split / f"metadata{suffix}", rows)
        return PAIRS

    return layout


for suffix in (".jsonl", ".csv", ".parquet"):
    LAYOUTS[f"imagefolder: metadata{suffix}"] = imagefolder(suffix, ["."], "caption")
    LAYOUTS[f"imagefolder: metadata{suffix} of two splits"] = imagefolder(suffix, ["train", "test"])


def hugging_face_parquet(name: str, with_bytes: bool) -> Layout:
    """The output of `Dataset.to_parquet`. The captions can be lists, and an image can be the path of a file."""

    def layout(root: Path) -> Pairs:
        several = name.endswith("s")
        if not with_bytes:
            write_images(root / "images")
        rows = [
            {
                "image": {"bytes": jpeg(seed), "path": "0.jpg"}
                if with_bytes
                else {"bytes": None, "path": str(root / "images" / f"{seed}.jpg")},
                name: [text for of, text in SEVERAL if of == seed] if several else caption,
            }
            for seed, caption in PAIRS
        ]
        table_of(root / "train.parquet", rows)
        return SEVERAL if several else PAIRS

    return layout


LAYOUTS |= {
    "Parquet of datasets: bytes, text": hugging_face_parquet("text", True),
    "Parquet of datasets: bytes, captions": hugging_face_parquet("captions", True),
    "Parquet of datasets: paths, Text": hugging_face_parquet("Text", False),
    "Parquet of datasets: paths, sentences": hugging_face_parquet("sentences", False),
}
INPUTS = {name: "train.parquet" for name in LAYOUTS if name.startswith("Parquet of datasets: paths")}
"""what to give as --input, if it is not the folder"""


def saved_dataset(splits: Sequence[str], field: str) -> Layout:
    """The output of `Dataset.save_to_disk`, or of `DatasetDict.save_to_disk` for several splits."""

    def layout(root: Path) -> Pairs:
        several = field.endswith("s")
        for place, split in enumerate(splits):
            own = PAIRS[place :: len(splits)]
            images = pa.array([{"bytes": jpeg(seed), "path": f"{seed}.jpg"} for seed, _ in own])
            texts = [[text for of, text in SEVERAL if of == seed] if several else caption for seed, caption in own]
            write_saved_dataset(root / split, [pa.table({"image": images, field: texts})])
        if len(splits) > 1:
            write(root / "dataset_dict.json", json.dumps({"splits": splits}))
        return SEVERAL if several else PAIRS

    return layout


LAYOUTS |= {
    "save_to_disk": saved_dataset(["."], "text"),
    "save_to_disk: lists of captions": saved_dataset(["."], "captions"),
    "save_to_disk: two splits": saved_dataset(["train", "test"], "caption"),
}


def lines(name: str, row: str, header: str = "", images: str = "images", more: Sequence[str] = ()) -> Layout:
    """A list of images with two captions each, one per line, beside a folder with the images.

    `row` has `{image}`, the name without suffix, `{number}` and `{caption}`. `more` are other files that lie there.
    """

    def layout(root: Path) -> Pairs:
        write_images(root / images)
        numbers = [0, 1] * len(PAIRS)
        rows = [row.format(image=of, number=n, caption=text) for (of, text), n in zip(SEVERAL, numbers, strict=True)]
        write(root / name, "\n".join([*([header] if header else []), *rows, ""]))
        for other in more:
            write(root / other, "0.jpg#0\ta red squar\n")
        return SEVERAL

    return layout


TOKEN = "{image}.jpg#{number}\t{caption}"
FLICKR8K = ["readme.txt", "Flickr8k.lemma.token.txt", "Flickr_8k.trainImages.txt", "ExpertAnnotations.txt"]
LAYOUTS |= {
    "Flickr8k: captions.txt": lines("captions.txt", '{image}.jpg,"{caption}"', "image,caption", "Images"),
    "Flickr8k: token": lines("Flickr8k.token.txt", TOKEN, "", "Flicker8k_Dataset", FLICKR8K),
    "Flickr30k: token": lines("results_20130124.token", TOKEN, "", "flickr30k-images", ["readme.txt"]),
    "Flickr30k: results.csv": lines(
        "flickr30k_images/results.csv",
        "{image}.jpg| {number}| {caption}",
        "image_name| comment_number| comment",
        "flickr30k_images/flickr30k_images",
    ),
    "open_clip: tabs in a .csv": lines("train.csv", "images/{image}.jpg\t{caption}", "filepath\ttitle"),
    "open_clip: with semicolons": lines("train.csv", "images/{image}.jpg;{caption}", "filepath;title"),
    "a .tsv without a header": lines("train.tsv", "{caption}\t{image}.jpg"),
    "a list in another folder": lines("lists/train.csv", '{image}.jpg,"{caption}"', "Image, Caption", "data/train"),
    "a list that leads to images in another folder": lines(
        "lists/a.tsv", "../images/{image}.jpg\t{caption}", "path\ttext"
    ),
}
for name in ("captions.txt", "token", "results.csv"):
    of = next(layout for layout in LAYOUTS if layout.endswith(name))
    LAYOUTS[f"{of}, the list alone"] = LAYOUTS[of]
INPUTS |= {
    "Flickr8k: captions.txt, the list alone": "captions.txt",
    "Flickr8k: token, the list alone": "Flickr8k.token.txt",
    "Flickr30k: results.csv, the list alone": "flickr30k_images/results.csv",
}


def coco(images: str, name: str, annotations_first: bool = False) -> Layout:
    """COCO's captions beside folders of images. The captions of an image do not follow each other."""

    def layout(root: Path) -> Pairs:
        write_images(root / images, "{:012d}.jpg")
        write_images(root / "train2014", "COCO_{}.jpg")
        found = [{"license": 1, "file_name": f"{seed:012d}.jpg", "height": 30, "id": seed + 7} for seed, _ in PAIRS]
        shuffled = [SEVERAL[place] for place in (1, 4, 0, 3, 2, 5)]
        texts = [{"image_id": seed + 7, "id": place, "caption": text} for place, (seed, text) in enumerate(shuffled)]
        document = {
            "info": {"year": 2017, "x": [1, {}]},
            "images": found,
            "licenses": [{"id": 1}],
            "annotations": texts,
        }
        if annotations_first:
            document = {"annotations": texts, "images": found}
        write(root / "annotations" / name, json.dumps(document))
        write(root / "annotations" / "instances_val2017.json", json.dumps({"images": found, "annotations": []}))
        return SEVERAL

    return layout


LAYOUTS |= {
    "COCO": coco("val2017", "captions_val2017.json"),
    "COCO: images/val2017": coco("images/val2017", "captions_val2017.json"),
    "COCO: annotations before images": coco("images", "captions.json", True),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_known_layout_is_read_with_its_input_alone(name: str, tmp_path: Path) -> None:
    pairs = LAYOUTS[name](tmp_path / "in")

    samples = read_all(input=tmp_path / "in" / INPUTS.get(name, ""))

    assert [sample.reject for sample in samples] == [None] * len(pairs)
    assert sorted((s.image, s.caption) for s in samples) == sorted((jpeg(seed), caption) for seed, caption in pairs)
    assert len({(s.source.path, s.key, s.row) for s in samples}) == len(pairs)


WEB = "http://host{seed}/a%20b.jpg?x=1"
ELSEWHERE: dict[str, tuple[str, str]] = {
    "LAION Parquet": ("URL,TEXT,WIDTH,HEIGHT", ".parquet"),
    "DataComp metadata": ("uid,url,text,original_width,clip_b32_similarity_score,face_bboxes,sha256", ".parquet"),
    "CC3M": ("{caption}\t{url}", ".tsv"),
    "CC12M": ("{url}\t{caption}", ".tsv"),
    "COYO": ("id,url,text,width,height", ".parquet"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_list_of_urls_asks_for_permission_to_fetch_them(name: str, tmp_path: Path) -> None:
    fields, suffix = ELSEWHERE[name]
    rows = [{"url": WEB.format(seed=seed), "caption": caption} for seed, caption in PAIRS]
    file = tmp_path / f"part-00000{suffix}"
    if suffix == ".parquet":
        of = {"url": "url", "text": "caption"}
        table_of(file, [{f: row[of[f.lower()]] if f.lower() in of else "7" for f in fields.split(",")} for row in rows])
    else:
        file.write_text("".join(fields.format(**row) + "\n" for row in rows))
    (chunk,), options = planned(input=file)
    assert chunk.outside == "--allow-uri http://"
    known = sources.formats()[sources.resolve(options)[0]]
    samples = list(known.read(replace(chunk, with_images=False), options))
    assert len(samples) == len(PAIRS)
    if suffix != ".parquet":
        assert [sample.caption for sample in samples] == [caption for _, caption in PAIRS]
    (chunk,), _ = planned(input=file, allow_uri=("http://",))
    assert chunk.outside is None


def several_columns(root: Path) -> None:
    """As WIT: no column is the caption."""
    write_images(root / "images")
    names = ("caption_reference_description", "caption_attribution_description", "page_title")
    rows = [{"image_url": f"images/{seed}.jpg", **dict.fromkeys(names, caption)} for seed, caption in PAIRS]
    table_of(root / "wit.tsv", rows)


def numbered_columns(root: Path) -> None:
    write_images(root / "images")
    write(root / "a.tsv", "".join(f"{caption}\timages/{seed}.jpg\tdog,cat\n" for seed, caption in PAIRS))


def ambiguous_sidecars(root: Path) -> None:
    sidecars("{}.jpg", "{}.txt")(root)
    for seed, _ in PAIRS:
        write(root / f"{seed}.caption", "tags")


def ambiguous_records(root: Path) -> None:
    sidecars("{}.jpg", "{}.json", lambda _, caption: json.dumps({"text": caption, "caption": "tags"}))(root)


def ambiguous_texts_in_a_tar(root: Path) -> None:
    shard("{}.jpg", "{}.txt", more=["{}.caption"])(root)


def ambiguous_records_in_a_tar(root: Path) -> None:
    members = [(f"{seed}.json", json.dumps({"text": caption, "caption": "tags"}).encode()) for seed, caption in PAIRS]
    write_tar(root / "0.tar", [*((f"{seed}.jpg", jpeg(seed)) for seed, _ in PAIRS), *members])


AMBIGUOUS: dict[str, tuple[Callable[[Path], object], str, dict[str, str]]] = {
    "texts with two suffixes": (
        ambiguous_sidecars,
        "--caption-col .caption or --caption-col .txt",
        {"caption_col": ".txt"},
    ),
    "records with two fields": (ambiguous_records, "'text' and 'caption' .* --caption-col", {"caption_col": "text"}),
    "WIT: several columns of captions": (
        several_columns,
        "'caption_reference_description' and 'caption_attribution_description' .*; choose one with --caption-col",
        {"caption_col": "page_title", "input_format": "manifest"},
    ),
    "three columns without a header": (
        numbered_columns,
        "no header, .*1: 'a red square', file_name: 'images/0.jpg', 3: 'dog,cat'; .* --caption-col",
        {"caption_col": "1", "input_format": "manifest"},
    ),
    "tar: texts with two suffixes": (
        ambiguous_texts_in_a_tar,
        "--caption-col .caption or --caption-col .txt",
        {"caption_col": ".txt"},
    ),
    "tar: records with two fields": (
        ambiguous_records_in_a_tar,
        "'text' and 'caption' .* --caption-col",
        {"caption_col": "text"},
    ),
}
"""by layout: the function that writes it, what the refusal says, and the option that settles it"""


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_layout_is_refused_with_the_option_that_settles_it(name: str, tmp_path: Path) -> None:
    write, message, option = AMBIGUOUS[name]
    write(tmp_path / "in")
    lists = {name: option[name] for name in ("input_format",) if name in option}
    with pytest.raises(InputError, match=message):
        read_all(input=tmp_path / "in", **lists)
    samples = read_all(input=tmp_path / "in", **option)
    assert sorted((s.image, s.caption) for s in samples) == sorted((jpeg(seed), caption) for seed, caption in PAIRS)
