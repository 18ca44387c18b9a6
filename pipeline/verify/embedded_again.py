"""Reads and embeds a random sample of the embedded rows again. The vectors must be the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import siglip_core
from pipeline import schema
from pipeline.progress import current
from pipeline.sample import all_but
from pipeline.stages.decode import ReadAndDecode, chunk_table
from pipeline.stages.embed import Embed, EmbedSettings, EncoderOptions
from pipeline.table import ROWS_PER_BATCH, Table
from pipeline.verify.counts import Input
from pipeline.verify.invariants import VECTORS
from pipeline.verify.problem import EXAMPLES, Problem
from siglip_core.variants import decoding_of

LEAST_COSINE: dict[str, float] = {"float32": 0.9999, "bfloat16": 0.999}
"""of a vector in this precision to the same image's or text's, computed elsewhere or by other layers. In bfloat16, the
least of 800 photos was 0.99973 (siglip-pico, packed layers beside plain ones)."""
MAX_PIXELS = 1 << 40
"""practically no limit: the run's limit is unknown, and every embedded image was within it"""

Key = tuple[str, int]
Vectors = dict[str, npt.NDArray[np.float32] | None]
"""a row's vectors by column"""


def check_sample(checked: Table, listed: Input, drawn: Sequence[int], model: str) -> list[Problem]:
    """Embeds the rows at these positions of a scan again. Their vectors must equal those in the table.

    Raises:
        IdentityError: the model is not the one that made the table.
    """
    current.begin("embedding again", len(drawn))
    stored = dict(_vectors_by_key(checked.take(drawn, [schema.SOURCE, schema.SOURCE_ROW, *VECTORS])))
    again = dict(_embed_again(checked, listed, list(stored), model))
    least = LEAST_COSINE[checked.identity.precision]
    wrong = [fault for key, vectors in sorted(stored.items()) if (fault := _fault(key, vectors, again.get(key), least))]
    fix = (
        "if the input is unchanged, this machine or its libraries compute other vectors than those that made the "
        "table: embed into another table, and compare"
    )
    return [Problem("sample", len(wrong), tuple(wrong[:EXAMPLES]), fix)] if wrong else []


def _embed_again(checked: Table, listed: Input, wanted: Sequence[Key], model: str) -> Iterator[tuple[Key, Vectors]]:
    """New vectors of those wanted rows that are in the input, a chunk at a time."""
    import torch

    identity = checked.identity
    spec = siglip_core.spec(model, preprocessing=decoding_of(identity.preprocessing))
    decode = ReadAndDecode(
        *(listed.input_format, listed.options, spec.preprocessing, MAX_PIXELS),
        kept=pa.schema([]),
        allow_missing=True,
    )
    settings = EmbedSettings(
        EncoderOptions.model_validate({"model": model, "precision": identity.precision}),
        identity,
        schema.table_schema(identity, None, "float32"),
    )
    embed = Embed(settings, "cuda" if torch.cuda.is_available() else "cpu")
    rows_of: dict[str, list[int]] = {}
    for path, row in sorted(wanted):
        rows_of.setdefault(path, []).append(row)
    for chunk in listed.chunks:
        sources = tuple(source for source in chunk.sources if source.path in rows_of)
        done = {source.path: all_but(rows_of[source.path]) for source in sources}
        if sources:
            for photos in decode(chunk_table([replace(chunk, sources=sources, done=done, kept=pa.schema([]))])):
                rows = embed(photos)
                current.add(rows.num_rows)
                yield from _vectors_by_key(rows)


def draw(checked: Table, listed: Input, size: int, seed: int) -> list[int]:
    """Draws `size` embedded rows of the input's sources, all equally likely. Gives their positions in a scan.

    The same seed draws the same rows.
    """
    random = np.random.default_rng(seed)
    usable = pa.array(sorted(listed.sources), pa.string())
    drawn_positions, drawn_lots = np.empty(0, np.int64), np.empty(0)
    start = 0
    columns = [schema.SOURCE, schema.SOURCE_ROW, schema.STATUS]
    for batch in checked.scan(columns, where=None, rows_per_batch=ROWS_PER_BATCH):
        fits = pc.and_(pc.equal(batch[schema.STATUS], schema.SUCCESS), pc.is_in(batch[schema.SOURCE], usable))
        lots = random.random(batch.num_rows)  # one for every row, so that the draw depends on the seed alone
        found = np.flatnonzero(pc.fill_null(fits, False).to_numpy(zero_copy_only=False))
        positions = np.concatenate([drawn_positions, start + found])
        lots = np.concatenate([drawn_lots, lots[found]])
        best = np.argsort(lots)[:size]
        drawn_positions, drawn_lots = positions[best], lots[best]
        start += batch.num_rows
    return sorted(drawn_positions.tolist())


def _fault(key: Key, stored: Vectors, again: Vectors | None, least: float) -> str | None:
    where = f"{key[0]} row {key[1]}"
    if again is None:
        return f"{where}: no longer in the input"
    for name, vector in stored.items():
        new = again[name]
        if vector is None and new is None:
            continue
        if vector is None:
            adds = "; `siglane captions` adds captions" if name == schema.TEXT_VECTOR else ""
            return f"{where}: has no {name}, but the input has what it is made of{adds}"
        if new is None:
            return f"{where}: {name} can no longer be computed"
        cosine = float(vector @ new / np.linalg.norm(vector) / np.linalg.norm(new))
        if not cosine >= least:
            return f"{where}: {name} has cosine {cosine:.4f} to the new vector, less than {least}"
    return None


def _vectors_by_key(rows: pa.Table) -> Iterator[tuple[Key, Vectors]]:
    keys = zip(rows[schema.SOURCE].to_pylist(), rows[schema.SOURCE_ROW].to_pylist(), strict=True)
    columns = [rows[name].to_pylist() for name in VECTORS]
    for key, *values in zip(keys, *columns, strict=True):
        yield (
            key,
            {
                name: None if value is None else np.array(value, np.float32)
                for name, value in zip(VECTORS, values, strict=True)
            },
        )
