"""Texts to ids; a small sentencepiece model with the published ids for end and padding stands in."""

from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tokenizers
from siglip_models import sentencepiece_model

from siglip_core import TokenizerError
from siglip_core.tokenizer import Tokenizer, lower, lower_without_punctuation, read_tokenizer

LENGTH = 12
SPIECE = sentencepiece_model()
PIECES = sentencepiece.SentencePieceProcessor(model_proto=SPIECE)


def read(folder: Path, vocab_size: int = 400) -> Tokenizer:
    tokenizer = read_tokenizer(folder, LENGTH, vocab_size)
    assert tokenizer is not None
    return tokenizer


@pytest.fixture(name="v1")
def _v1(tmp_path: Path) -> Tokenizer:
    folder = tmp_path / "v1"
    folder.mkdir()
    (folder / "spiece.model").write_bytes(SPIECE)
    return read(folder)


@pytest.fixture(name="v2")
def _v2(tmp_path: Path) -> Tokenizer:
    """A stand-in for Gemma's tokenizer.json: `<pad>`, `<eos>`, spaces as pieces, bytes for the rest."""
    vocabulary = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary += ["▁", "a", "r", "e", "d", "!", "σ", "A", "re", "red", "▁red"]
    model = tokenizers.models.BPE(
        {piece: i for i, piece in enumerate(vocabulary)},
        [("r", "e"), ("re", "d"), ("▁", "red")],
        byte_fallback=True,
        unk_token="<unk>",
        fuse_unk=True,
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    tokenizer.add_special_tokens(vocabulary[:4])
    tokenizer.enable_padding(length=5)
    tokenizer.enable_truncation(3)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing("<bos> $A", special_tokens=[("<bos>", 2)])
    folder = tmp_path / "v2"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return read(folder)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("A Red, RED apple!", "a red red apple"),
        ("  blue\t hair\nportrait  ", "blue hair portrait"),
        ("set_001/IMG-7.JPG", "set001img7jpg"),
        ("ΣΟΣ", "σοσ"),
        ("İ", "i̇"),
        ("“quoted” – dash…", "“quoted” – dash…"),
        ("!?", ""),
    ],
)
def test_siglip_cleaning(text: str, cleaned: str) -> None:
    assert lower_without_punctuation(text) == cleaned


def test_siglip2_only_lower_cases() -> None:
    assert lower("  A, ΣΟΣ!\n") == "  a, σοσ!\n"


def test_v1_appends_1_and_pads_with_1(v1: Tokenizer) -> None:
    ids = PIECES.encode("a red apple")
    np.testing.assert_array_equal(v1(["A red, apple."]), [ids + [1] * (LENGTH - len(ids))])


def test_v2_appends_1_and_pads_with_0(v2: Tokenizer) -> None:
    a, red = 261, 270
    np.testing.assert_array_equal(v2(["A RED"]), [[a, red, 1] + [0] * (LENGTH - 3)])
    bang = 265
    np.testing.assert_array_equal(v2(["a!"]), [[a, bang, 1] + [0] * (LENGTH - 3)])


def test_texts_are_always_padded_to_full_length(v1: Tokenizer) -> None:
    tokens_BL = v1(["a", "a photo of two cats"])
    assert tokens_BL.shape == (2, LENGTH)
    assert tokens_BL.dtype == np.int64
    assert v1([]).shape == (0, LENGTH)


def test_truncation_keeps_the_end_token(v1: Tokenizer) -> None:
    text = "a photo of two cats on a sofa " * 5
    row = v1([text])[0]
    np.testing.assert_array_equal(row, [*PIECES.encode(text)[: LENGTH - 1], 1])


def test_control_pieces_in_a_text_are_text(v1: Tokenizer, v2: Tokenizer) -> None:
    np.testing.assert_array_equal(v1(["a </s> cat"]), v1(["a s cat"]))
    bytes_of_eos = [4 + byte for byte in b"<"]
    assert v2(["<eos>"])[0, :1].tolist() == bytes_of_eos


@pytest.mark.parametrize("text", ["", "   ", "?!"])
def test_empty_text_is_end_and_padding(v1: Tokenizer, text: str) -> None:
    assert (v1([text]) == 1).all()


def test_nul_is_a_character(v1: Tokenizer, v2: Tokenizer) -> None:
    nul = PIECES.piece_to_id("<0x00>")
    assert nul in v1(["blue\0hair"])[0]
    assert 4 in v2(["a\0a"])[0]


def test_a_text_of_a_megabyte(v1: Tokenizer, v2: Tokenizer) -> None:
    text = "a red apple " * 90_000
    np.testing.assert_array_equal(v1([text]), v1([text[:500]]))
    np.testing.assert_array_equal(v2([text]), v2([text[:500]]))
    assert v2(["a" * 1_000_000])[0, -1] == 1


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", "b\ud800c"], r"text 1 has a lone surrogate \(U\+D800 at 1\)"),
        (["a", None], "text 1 is NoneType"),
        ([b"a"], "text 0 is bytes"),
        ("a", "list of str"),
    ],
)
def test_bad_texts_are_named(v1: Tokenizer, texts: list[str], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        v1(texts)


def test_more_pieces_than_embeddings(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(SPIECE)
    size = PIECES.vocab_size()
    assert read_tokenizer(tmp_path, LENGTH, vocab_size=size) is not None
    with pytest.raises(TokenizerError, match=f"{size} pieces.* {size - 1} rows"):
        read_tokenizer(tmp_path, LENGTH, vocab_size=size - 1)


@pytest.mark.parametrize("name", ["spiece.model", "tokenizer.model", "tokenizer.json"])
@pytest.mark.parametrize("data", [b"", b"<html>404</html>", SPIECE[:1000]])
def test_broken_files_are_named(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(TokenizerError, match=name):
        read_tokenizer(tmp_path, LENGTH, vocab_size=400)


def test_a_tokenizer_of_another_family_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(sentencepiece_model(end="<end>"))
    with pytest.raises(TokenizerError, match="id 1 is '<end>'"):
        read_tokenizer(tmp_path, LENGTH, vocab_size=400)


def test_gemma_as_sentencepiece_is_known_by_its_end_piece(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_model(end="<eos>"))
    row = read(tmp_path)(["A red apple"])[0]
    assert row[-1] == 0
    assert 1 in row


def test_digest_depends_on_file_and_length(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(SPIECE)
    first = read(tmp_path).digest
    assert len(first) == 64
    assert read(tmp_path).digest == first
    longer = read_tokenizer(tmp_path, LENGTH + 1, 400)
    (tmp_path / "spiece.model").write_bytes(sentencepiece_model(captions=["another text"]))
    assert longer is not None
    assert len({first, longer.digest, read(tmp_path).digest}) == 3
