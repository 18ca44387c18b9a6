"""Texts -> int64 [B, L] token ids, as the published models expect them.

There are two families; the piece at id 1 of the tokenizer's own vocabulary shows which one it is:

    SigLIP    sentencepiece of c4_en, mc4; id 1 `</s>`; lower-cased, ASCII punctuation removed, spaces collapsed; pad 1
    SigLIP 2  Gemma's vocabulary; id 1 `<eos>`; lower-cased; pad 0

Both append id 1 and always pad to the full length L, because the text tower pools its last position. A longer text is
cut so that id 1 still fits. Texts are lower-cased character by character, as by the tokenizer published with the
weights, so the last sigma of a Greek word becomes a medial one (transformers 5 makes it final). Control pieces spelled
out in a text (`</s>`) are ordinary text. big_vision, with which the models were trained, only lower-cases ASCII
letters; mode "bv" does the same. (Sources: transformers' SiglipTokenizer and Siglip2Tokenizer, big_vision's
pp/ops_text.py.)
"""

import hashlib
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siglip_core.errors import TokenizerError
from siglip_core.variants import Mode

END = 1  # id of </s> and of <eos>

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def lower(text: str) -> str:
    """Lower-cases character by character, so that Unicode's rule for a final sigma does not apply."""
    return "".join(map(str.lower, text))


def lower_ascii(text: str) -> str:
    """Lower-cases only the bytes A to Z, as tf.strings.lower does."""
    return text.encode().lower().decode()


def lower_without_punctuation(text: str) -> str:
    return re.sub(r"\s+", " ", lower(text).translate(_PUNCTUATION)).strip()


@dataclass(frozen=True)
class Rules:
    """How a family cleans and pads texts. `end` is its piece at id 1, which identifies the family."""

    name: str
    end: str
    pad: int
    clean: Callable[[str], str]


RULES: dict[Mode, tuple[Rules, Rules]] = {
    "exact": (Rules("siglip", "</s>", 1, lower_without_punctuation), Rules("siglip2", "<eos>", 0, lower)),
    "bv": (Rules("siglip-bv", "</s>", 1, lower_ascii), Rules("siglip2-bv", "<eos>", 0, lower_ascii)),
}


class Tokenizer:
    """Turns texts into int64 [B, L] when called. `digest` is the sha256 of the tokenizer's file, its rules and L."""

    def __init__(self, encode: Callable[[list[str]], list[list[int]]], rules: Rules, length: int, digest: str) -> None:
        self._encode = encode
        self.rules = rules
        self.length = length
        self.digest = digest

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Texts of any length -> int64 [B, L].

        An empty text becomes id 1 and padding; so does one of punctuation only in SigLIP's family. NUL is an ordinary
        character.

        Raises:
            TokenizerError: a text is not a str, or has a lone surrogate, which UTF-8 cannot encode. The message gives
                its index in the list.
        """
        if isinstance(texts, str):
            raise TokenizerError("texts must be a list of str, got one str; put it in a list: [text]")
        for i, text in enumerate(texts):
            _check_text(i, text)
        tokens_BL = np.full((len(texts), self.length), self.rules.pad, dtype=np.int64)
        for row_L, ids in zip(tokens_BL, self._encode([self.rules.clean(t) for t in texts]), strict=True):
            kept = [*ids[: self.length - 1], END]
            row_L[: len(kept)] = kept
        return tokens_BL


def read_tokenizer(folder: Path, length: int, vocab_size: int, mode: Mode = "exact") -> Tokenizer | None:
    """The tokenizer in a model folder: `spiece.model` or `tokenizer.model`, else `tokenizer.json`; None if there is
    none.

    Raises:
        TokenizerError: the file is broken, belongs to neither family, or has more pieces than the model's embedding
            table has rows (`vocab_size`).
    """
    for name, read in (
        ("spiece.model", _read_sentencepiece),
        ("tokenizer.model", _read_sentencepiece),
        ("tokenizer.json", _read_tokenizer_json),
    ):
        path = folder / name
        if path.is_file():
            data = path.read_bytes()
            encode, size, end = read(path, data)
            rules = _rules(path, end, mode)
            if size > vocab_size:
                raise TokenizerError(
                    f"{path}: {size} pieces, but the model's token embedding has {vocab_size} rows; "
                    "tokenizer and weights belong to different models"
                )
            digest = hashlib.sha256(f"{rules.name} {length}\n".encode() + data).hexdigest()
            return Tokenizer(encode, rules, length, digest)
    return None


_Read = tuple[Callable[[list[str]], list[list[int]]], int, str | None]


def _read_sentencepiece(path: Path, data: bytes) -> _Read:
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError as error:
        raise _not_installed(path, "sentencepiece") from error

    try:
        model = SentencePieceProcessor(model_proto=data)
    except RuntimeError as error:
        raise TokenizerError(f"{path}: not a sentencepiece model: {error}; download the file again") from error
    size = model.vocab_size()

    def encode(texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = model.encode(texts, out_type=int)
        return ids

    return encode, size, model.id_to_piece(END) if size > END else None


def _read_tokenizer_json(path: Path, data: bytes) -> _Read:
    try:
        from tokenizers import Tokenizer as JsonTokenizer
    except ImportError as error:
        raise _not_installed(path, "tokenizers") from error

    try:
        model = JsonTokenizer.from_buffer(data)
    except Exception as error:  # tokenizers raises bare Exception
        raise TokenizerError(f"{path}: not a tokenizer.json: {error}; download the file again") from error
    # The padding and truncation in the file are for other libraries; `Tokenizer` does its own.
    model.no_padding()
    model.no_truncation()
    model.encode_special_tokens = True

    def encode(texts: list[str]) -> list[list[int]]:
        return [row.ids for row in model.encode_batch(texts, add_special_tokens=False)]

    return encode, model.get_vocab_size(), model.id_to_token(END)


def _not_installed(path: Path, package: str) -> TokenizerError:
    return TokenizerError(f"{path}: reading it needs the package {package}; pip install {package}, or give token ids")


def _rules(path: Path, end: str | None, mode: Mode) -> Rules:
    for rules in RULES[mode]:
        if end == rules.end:
            return rules
    raise TokenizerError(
        f"{path}: the piece at id 1 is {end!r}, but SigLIP's tokenizer has '</s>' there and SigLIP 2's '<eos>'; "
        "use the tokenizer that was published with the model"
    )


def _check_text(i: int, text: object) -> None:
    if not isinstance(text, str):
        raise TokenizerError(f"text {i} is {type(text).__name__}, not str; leave out rows without a text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"text {i} has a lone surrogate (U+{ord(text[error.start]):04X} at {error.start}), because it was decoded "
            "wrongly; read its source as UTF-8"
        ) from error
