"""Length of a caption: characters, and words separated by white space. Word counts need a language with spaces."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.scoring.signals import Columns, Context

FIELDS = {"caption_characters": pa.int32(), "caption_words": pa.int32()}
READ = (schema.CAPTION,)
NEEDS_TARGET = False


def prepare(_context: Context) -> Callable[[pa.RecordBatch], Columns]:
    return _of_batch


def _of_batch(batch: pa.RecordBatch) -> Columns:
    captions = batch[schema.CAPTION]
    words = pa.array([len(caption.split()) for caption in captions.to_pylist()], pa.int32())
    return {"caption_characters": pc.utf8_length(captions), "caption_words": words}
