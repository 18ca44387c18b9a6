"""Of what a caption consists: letters and digits among its characters, and different words among its words.

`caption_alphanumeric_ratio`: letters and digits of any script, over all characters, spaces too: Data-Juicer's
`alphanumeric_filter`. Rows of signs and markup have few. `caption_unique_word_ratio`: different words, whatever their
case, over all words: captions that repeat words are left out of Conceptual Captions by it (Sharma et al., ACL 2018).
Both in [0, 1]; 0 of an empty caption.
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
