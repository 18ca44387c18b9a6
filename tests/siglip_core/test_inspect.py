"""What an inspection measures, against the model's own outputs; and that what is drawn says it."""

import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from siglip_models import image_bytes, model_folder, naflex_spec, photo, random_model, spec

import siglip_core
from siglip_core import ImageError, SiglipError, Spec, similarity
from siglip_core.encoder import Encoder
from siglip_core.inspection import Inspection, contents, inspect, lettering, panels, to_html, to_png
from siglip_core.inspection.measure import CaptionScore, map_attention

CAPTIONS = ["two cats, one sofa", "<script>alert('x')</script> & \"blue\" hair", "二匹の犬"]


@pytest.fixture(scope="module", params=[spec(), spec(resolution=38), naflex_spec()], ids=["fixed", "rest", "naflex"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    described: Spec = request.param
    return siglip_core.load(model_folder(tmp_path_factory.mktemp(described.name) / "model", random_model(described)))


@pytest.fixture(scope="module")
def inspection(encoder: Encoder) -> Inspection:
    return inspect(encoder, image_bytes(photo()), CAPTIONS)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_weights_reproduce_the_output_of_the_head(batch: int) -> None:
    head = random_model(spec()).image.head
    x_BLD = torch.randn(batch, 16, 24, generator=torch.Generator().manual_seed(1))
    attention = head.attention
    weights_BN1L = map_attention(head, x_BLD)
    v_BNLK = attention.value(x_BLD).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
    ours_B1D = attention.out((weights_BN1L @ v_BNLK).transpose(1, 2).flatten(-2))
    torch.testing.assert_close(ours_B1D, attention(head.probe.expand(batch, -1, -1), x_BLD), rtol=0, atol=1e-6)


def test_attention_is_that_of_the_tokens_of_this_image(encoder: Encoder, inspection: Inspection) -> None:
    """The pooled tokens, put through the rest of the head by hand, are the published vector."""
    head, weights_NL = encoder.module.image.head, inspection.attention
    tokens: list[torch.Tensor] = []
    with torch.inference_mode():
        hook = encoder.module.image.norm.register_forward_hook(lambda *call: tokens.append(call[2]))
        vector_D = encoder.encode_image([inspection.pixels])[0]
        hook.remove()
        v_NLK = head.attention.value(tokens[0][0]).unflatten(-1, (len(weights_NL), -1)).transpose(0, 1)
        x_D = head.attention.out((torch.from_numpy(weights_NL)[:, None] @ v_NLK).flatten())
        x_D = x_D + head.mlp(head.norm(x_D))
    torch.testing.assert_close(torch.nn.functional.normalize(x_D, dim=0), vector_D, rtol=0, atol=1e-5)
    np.testing.assert_allclose(weights_NL.sum(axis=1), 1, rtol=1e-5)


def test_nothing_of_an_inspection_stays_in_the_model(encoder: Encoder, inspection: Inspection) -> None:
    assert not encoder.module.image.head._forward_pre_hooks


def test_shapes_and_positions(encoder: Encoder, inspection: Inspection) -> None:
    patches = inspection.rows * inspection.columns
    assert (inspection.rows, inspection.columns) == ((4, 5) if encoder.spec.vision.naflex else (4, 4))
    assert inspection.attention.shape == (encoder.spec.vision.heads, patches)
    position_LD = encoder.module.image.positions(inspection.rows, inspection.columns).numpy()
    np.testing.assert_allclose(
        inspection.position_cosine, similarity.cosine_block(position_LD, position_LD), rtol=0, atol=1e-6
    )


def test_captions_score_as_the_encoders_say(encoder: Encoder, inspection: Inspection) -> None:
    cosine_C = (encoder.encode_image([inspection.pixels]) @ encoder.encode_text(CAPTIONS).T)[0].numpy()
    logit_C = cosine_C * encoder.logit_scale + encoder.logit_bias
    for score, caption, cosine, logit in zip(inspection.captions, CAPTIONS, cosine_C, logit_C, strict=True):
        assert score.caption == caption
        expected = (cosine, logit, 1 / (1 + np.exp(-logit)))
        assert (score.cosine, score.logit, score.probability) == pytest.approx(expected, abs=2e-5)


class _Page(HTMLParser):
    """The tags and the texts of a page, as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_the_page_needs_nothing_else_and_captions_are_text(inspection: Inspection) -> None:
    html = to_html(inspection, '"><img src=x onerror=alert(1)>.jpg')
    page = _Page(html)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 3 + len(inspection.attention)
    for source in sources:
        kind, _, data = source.partition(",")
        assert kind == "data:image/png;base64"
        Image.open(BytesIO(b64decode(data))).load()
    assert not re.search(r"https?:|url\(|@import", html)
    assert set(CAPTIONS) < set(page.texts)
    shown = contents.contents(inspection, "photo.png")
    (table,) = (block for block in shown if isinstance(block, contents.Table))
    assert {cell for row in table.rows for cell in row.cells} < set(page.texts)
    drawn = [panel for block in shown if isinstance(block, contents.Figures) for panel in block.panels]
    assert {panel.title for panel in drawn} < set(page.texts)


def test_what_is_shown_says_what_was_measured(encoder: Encoder, inspection: Inspection) -> None:
    title, sizes, maps, _, heads, _, table, formula = contents.contents(inspection, "photo.png")
    assert title == contents.Text("title", f"photo.png as {encoder.spec.name} sees it")
    assert isinstance(sizes, contents.Text)
    assert sizes.text.startswith(f"{inspection.width} x {inspection.height} px; seen as ")
    assert isinstance(maps, contents.Figures)
    assert len(maps.panels) == 3
    assert isinstance(heads, contents.Figures)
    assert len(heads.panels) == len(inspection.attention)
    assert isinstance(table, contents.Table)
    for row, score in zip(table.rows, inspection.captions, strict=True):
        assert row.cells[0] == score.caption
        numbers = [float(cell) for cell in row.cells[1:]]
        assert numbers == pytest.approx([score.cosine, score.logit, score.probability], abs=0.005)
        assert row.bar == score.probability
    assert isinstance(formula, contents.Text)
    assert f"{inspection.logit_scale:.2f} x cosine" in formula.text


def test_without_captions_there_is_no_table(encoder: Encoder) -> None:
    seen = inspect(encoder, image_bytes(photo()), [])
    assert "<table>" not in to_html(seen, "photo.png")
    without, with_ = (Image.open(BytesIO(to_png(one, "photo.png"))).height for one in (seen, _with_one_caption(seen)))
    assert without < with_


def _with_one_caption(seen: Inspection) -> Inspection:
    return replace(seen, captions=(CaptionScore("a photo", 0.1, 2.0, 0.88),))


def test_the_picture_is_the_same_each_time(inspection: Inspection) -> None:
    drawn = to_png(inspection, "photo.png")
    assert drawn == to_png(inspection, "photo.png")
    with Image.open(BytesIO(drawn)) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")


def test_the_picture_says_that_its_font_lacks_characters(encoder: Encoder) -> None:
    seen = _with_one_caption(inspect(encoder, image_bytes(photo()), []))
    plain, named = (Image.open(BytesIO(to_png(seen, name))).height for name in ("photo.png", "写真.png"))
    assert plain < named


def test_the_input_is_shown_with_its_patches_and_what_is_not_seen_is_dark(
    encoder: Encoder, inspection: Inspection
) -> None:
    drawn = np.asarray(panels.panels(inspection)[0].image)
    height, width, _ = inspection.pixels.shape
    scale = max(drawn.shape) / max(height, width)
    middles = (np.arange(min(height, width)) + 0.5) * scale
    inside = drawn[middles.astype(int)][:, middles.astype(int)].astype(int)
    seen = inspection.patch_size * min(inspection.rows, inspection.columns)
    original = inspection.pixels[: len(middles), : len(middles)].astype(int)
    on_a_line = np.arange(seen) % inspection.patch_size == 0
    difference = np.abs(inside - original)[:seen, :seen][~on_a_line][:, ~on_a_line]
    assert difference.max() <= 1
    if encoder.spec.vision.resolution % inspection.patch_size:
        np.testing.assert_array_equal(inside[seen:], original[seen:] // 3)
        assert "the last 6 px are not seen" in panels.panels(inspection)[0].note


def test_an_overlay_is_brightest_where_the_weight_is_largest(inspection: Inspection) -> None:
    for weights_L, panel in zip(inspection.attention, panels.heads(inspection), strict=True):
        assert panel.note == f"at most {weights_L.max():.3g}"
    flat = np.zeros((2, 3), np.float32)
    flat[1, 2] = 0.5
    colours = panels.colourise(flat, panels.Scale(panels.INFERNO, 0, 0.5))
    assert colours[1, 2].tolist() == list(bytes.fromhex(panels.INFERNO[-1]))
    assert colours[0, 0].tolist() == list(bytes.fromhex(panels.INFERNO[0]))


def test_a_scale_without_extent_has_its_first_colour() -> None:
    colours = panels.colourise(np.ones((1, 1)), panels.Scale(panels.VIRIDIS, 1, 1))
    assert colours[0, 0].tolist() == list(bytes.fromhex(panels.VIRIDIS[0]))


def test_the_picture_holds_the_panels_as_they_are(inspection: Inspection) -> None:
    with Image.open(BytesIO(to_png(inspection, "photo.png"))) as opened:
        picture = np.asarray(opened)
    panel = np.asarray(panels.panels(inspection)[0].image)
    height, width, _ = panel.shape
    left = picture[:, 40 : 40 + width]  # beyond the margin
    places = [y for y in range(len(left) - height) if np.array_equal(left[y : y + height], panel)]
    assert len(places) == 1


@pytest.mark.parametrize("size", [(3000, 8), (8, 3000), (1, 1)])
def test_narrow_images(encoder: Encoder, size: tuple[int, int]) -> None:
    seen = inspect(encoder, image_bytes(Image.new("RGB", size, "red")), [])
    assert to_png(seen, "narrow.png").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n\tb", "a b"),
        ("a\0b\x1b[31m", "a\ufffdb\ufffd[31m"),
        ("\u202egpj.exe", "\ufffdgpj.exe"),
        ("x" * 2000, "x" * 999 + "…"),
        ("👩‍👧", "👩‍👧"),
    ],
)
def test_hostile_text_is_one_short_line(text: str, shown: str) -> None:
    assert contents.line(text) == shown


def test_lines_fit_and_the_rest_is_cut() -> None:
    text = "a photo of two cats on a sofa " * 20
    lines = lettering.wrap(text, 20, 300, most=2)
    assert len(lines) == 2
    assert max(lettering.font(20).getlength(line) for line in lines) <= 300
    assert lines[0] == lines[0].strip()
    assert lines[1].endswith("…")
    assert lettering.wrap("one line", 20, 300, most=2) == ["one line"]
    assert lettering.wrap("", 20, 300, most=2) == []
    assert len(lettering.wrap("x" * 500, 20, 300, most=2)) == 2


def test_characters_that_the_font_lacks_are_known() -> None:
    assert lettering.lacks("二匹")
    assert not lettering.lacks("two dogs, 1 < 2…")


def test_what_cannot_be_inspected(encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="the bytes look like HTML"):
        inspect(encoder, b"<html>", [])
    bare = siglip_core.load(model_folder(tmp_path / "bare", random_model(spec()), with_tokenizer=False))
    with pytest.raises(SiglipError, match="no tokenizer"):
        inspect(bare, image_bytes(photo()), ["a cat"])
    assert inspect(bare, image_bytes(photo()), []).captions == ()
