"""Size and shape of the original image: its shorter side in pixels, and its longer side divided by the shorter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from pipeline import schema
from pipeline.scoring.signals import Columns, Context

FIELDS = {"image_shorter_side": pa.int32(), "image_aspect": pa.float32()}
READ = (schema.ORIGINAL_WIDTH, schema.ORIGINAL_HEIGHT)
NEEDS_TARGET = False


def prepare(_context: Context) -> Callable[[pa.RecordBatch], Columns]:
    return _of_batch


def _of_batch(batch: pa.RecordBatch) -> Columns:
    width, height = (batch[name].to_numpy() for name in READ)
    shorter = np.minimum(width, height)
    aspect = np.maximum(width, height) / np.maximum(shorter, 1)
    return {"image_shorter_side": pa.array(shorter, pa.int32()), "image_aspect": pa.array(aspect, pa.float32())}
