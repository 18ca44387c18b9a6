"""A small tokenizer of one's own, in SigLIP's numbering: 0 `<pad>`, 1 `</s>` (which pads too), 2 `<unk>`, no bos."""

from __future__ import annotations

import io
from collections.abc import Iterable

from siglip_core.errors import TokenizerError
from siglip_core.tokenizer import lower_without_punctuation


def train_tokenizer(texts: Iterable[str], pieces: int) -> bytes:
    """Trains a sentencepiece BPE model on texts, cleaned as SigLIP's are; gives the content of a `spiece.model`.

    The same texts give the same bytes. Texts too few for so many pieces give fewer. Bytes of rare characters are pieces
    of their own, so nothing is unknown.

    Raises:
        TokenizerError: fewer pieces are asked for than bytes and characters alone need, or there is no text.
    """
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=map(lower_without_punctuation, texts),
            model_writer=model,
            vocab_size=pieces,
            model_type="bpe",  # unigram stops early on texts of few words, and leaves those in crumbs
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
