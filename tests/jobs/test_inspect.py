"""`siglane inspect` as a user meets it: what it writes, and what it refuses with nothing written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.processes import Siglane
from tests.samples import write_photos


@pytest.fixture(autouse=True)
def photos(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 1)


IMAGE = ("--image", "in/photo0000.jpg")


@pytest.mark.parametrize("name", ["seen.html", "seen.PNG"])
def test_it_writes_a_page_or_a_picture(siglane: Siglane, tmp_path: Path, model: Path, name: str) -> None:
    captions = ["a red square, and a blue one", "--caption"]
    flags = [f"--caption={caption}" for caption in captions]
    summary = siglane("inspect", "--model", model, *IMAGE, "--output", name, *flags)
    assert [score["caption"] for score in summary["captions"]] == captions
    assert set(summary["captions"][0]) == {"caption", "cosine", "logit", "probability"}
    assert summary["patches"] == {"rows": 6, "columns": 6, "size": 16}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", name]
    if name.endswith("html"):
        assert "a red square, and a blue one" in (tmp_path / name).read_text("utf-8")
    else:
        with Image.open(tmp_path / name) as picture:
            picture.load()


def test_captions_keep_their_commas_in_a_config_too(siglane: Siglane, tmp_path: Path) -> None:
    captions = ["a red square, and a blue one", "another"]
    (tmp_path / "job.yaml").write_text(yaml.safe_dump({"caption": captions, "model": "m", "output": "a.png"}))
    out, err = siglane.start("inspect", "--config", "job.yaml", *IMAGE, "--print-config").communicate()
    assert yaml.safe_load(out)["caption"] == captions, err
    over = siglane.start("inspect", "--config", "job.yaml", *IMAGE, "--caption", "x, y", "--print-config")
    assert yaml.safe_load(over.communicate()[0])["caption"] == ["x, y"]


def test_help_says_that_captions_repeat(siglane: Siglane) -> None:
    out, _ = siglane.start("inspect", "--help").communicate()
    assert "can be repeated" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((*IMAGE, "--output", "seen.jpg"), 2, "--output: Value error, the name must end in .html or .png"),
        (("--output", "seen.png"), 2, "--image is required"),
        (("--image", "none.jpg", "--output", "seen.png"), 1, "image none.jpg: No such file or directory"),
        (("--image", "in", "--output", "seen.png"), 1, "image in: Is a directory"),
        (
            ("--image", "in/broken.jpg", "--output", "seen.png"),
            1,
            "image in/broken.jpg: not an image that Pillow decodes",
        ),
        ((*IMAGE, "--output", "nowhere/seen.png"), 1, "folder nowhere does not exist"),
        (("--image", "in/photo.png", "--output", "in/photo.png"), 1, "this is the input image"),
        ((*IMAGE, "--output", "folder.png"), 1, "output folder.png: cannot be written: Is a directory"),
        ((*IMAGE, "--output", "seen.png", "--caption", "a cat", "--model", "bare"), 1, "has no tokenizer"),
        ((*IMAGE, "--output", "seen.png", "--model", "nowhere"), 1, "nowhere: no such folder"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    siglane: Siglane, tmp_path: Path, model: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "in" / "broken.jpg").write_bytes(b"<html>")
    Image.new("RGB", (9, 9)).save(tmp_path / "in" / "photo.png")
    (tmp_path / "folder.png").mkdir()
    shutil.copytree(model, tmp_path / "bare", ignore=shutil.ignore_patterns("spiece.model"))
    before = _files(tmp_path)
    assert message in siglane.fails("inspect", "--model", model, *arguments, code=code)
    assert _files(tmp_path) == before


def _files(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
