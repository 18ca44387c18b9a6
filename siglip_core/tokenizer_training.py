"""Trains a small tokenizer with SigLIP's numbering: 0 `<pad>`, 1 `</s>` (also used to pad), 2 `<unk>`, no bos."""

from __future__ import annotations

import io
from collections.abc import Iterable

from siglip_core.errors import TokenizerError
from siglip_core.tokenizer import lower_without_punctuation


def train_tokenizer(texts: Iterable[str], pieces: int) -> bytes:
    """Trains a sentencepiece BPE model on texts, cleaned as for SigLIP; returns the content of a `spiece.model`.

    The same texts give the same bytes. If the texts are too few for `pieces`, the model has fewer. Rare characters are
    split into bytes, each of which is a piece, so nothing is unknown.

    Raises:
        TokenizerError: `pieces` is too small for the bytes and characters alone, or there is no text.
    """
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=map(lower_without_punctuation, texts),
            model_writer=model,
            vocab_size=pieces,
            model_type="bpe",  # unigram stops early on texts with few different words, and splits the words
            hard_vocab_limit=False,
            byte_fallback=True,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise TokenizerError(f"a tokenizer of {pieces} pieces cannot be trained on these texts: {error}") from error
    return model.getvalue()
