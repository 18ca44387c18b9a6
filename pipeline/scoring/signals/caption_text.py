"""Composition of a caption: the share of letters and digits, and the share of different words.

`caption_alphanumeric_ratio`: letters and digits of any script, divided by all characters including spaces, as in
Data-Juicer's `alphanumeric_filter`. It is low for symbols and markup. `caption_unique_word_ratio`: different words,
ignoring case, divided by all words. Conceptual Captions uses it to exclude captions that repeat words (Sharma et al.,
ACL 2018). Both are in [0, 1], and 0 for an empty caption.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from pipeline import schema
from pipeline.scoring.signals import Columns, Context

FIELDS = {"caption_alphanumeric_ratio": pa.float32(), "caption_unique_word_ratio": pa.float32()}
READ = (schema.CAPTION,)
NEEDS_TARGET = False


def prepare(_context: Context) -> Callable[[pa.RecordBatch], Columns]:
    return _of_batch


def _of_batch(batch: pa.RecordBatch) -> Columns:
    captions = batch[schema.CAPTION].to_pylist()
    ratios = ([ratio(caption) for caption in captions] for ratio in (_alphanumeric, _unique_words))
    return {name: pa.array(values, pa.float32()) for name, values in zip(FIELDS, ratios, strict=True)}


def _alphanumeric(caption: str) -> float:
    return sum(map(str.isalnum, caption)) / max(len(caption), 1)


def _unique_words(caption: str) -> float:
    words = caption.casefold().split()
    return len(set(words)) / max(len(words), 1)
