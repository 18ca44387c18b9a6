"""Loops over batches go round several times in the small tables and files of the tests, as they do in large ones."""

from __future__ import annotations

from importlib import import_module

import pytest

FEW_AT_ONCE = {
    "pipeline.dedup.hashes.IMAGES_PER_COMMIT": 4,
    "pipeline.dedup.compared_rows.ROWS_PER_BATCH": 7,
    "pipeline.dedup.perceptual._PER_BLOCK": 7,
    "pipeline.dedup.semantic.ROWS_PER_BATCH": 7,
    "pipeline.dedup.semantic._PER_BLOCK": 7,
    "pipeline.fileformats.tar_writer._PARTS_AT_ONCE": 2,
    "pipeline.filtering.kept.ROWS_PER_BATCH": 7,
    "pipeline.filtering.outputs.parquet.BYTES_PER_ROW_GROUP": 4000,
    "pipeline.filtering.outputs.parquet.ROWS_PER_FILE": 4,
    "pipeline.filtering.parquet_parts.ROWS_PER_GROUP": 2,
    "pipeline.filtering.parquet_parts.ROWS_PER_PART": 5,
    "pipeline.filtering.scores.ROWS_PER_BATCH": 7,
    "pipeline.importing.parts.ROWS_PER_BATCH": 5,
    "pipeline.importing.run.ROWS_PER_COMMIT": 8,
    "pipeline.indexing.measuring.AT_ONCE": 30,
    "pipeline.mismatch.decoys._ROWS_AT_ONCE": 100,
    "pipeline.mismatch.pairs._BLOCK": 100,
    "pipeline.originals._ROWS_AT_ONCE": 3,
    "pipeline.report.distributions.ROWS_PER_BATCH": 7,
    "pipeline.report.duplicates.ROWS_PER_BATCH": 7,
    "pipeline.resume.copies.ROWS_IN_MEMORY": 8,
    "pipeline.resume.first_rows.CHUNKS_AT_ONCE": 2,
    "pipeline.search.fetching.ROWS_AT_ONCE": 500,
    "pipeline.scoring.signals.generic_caption._ROWS_AT_ONCE": 7,
    "siglip_core.normalised_score._ROWS_AT_ONCE": 7,
    "pipeline.scoring.signals.normsim._ROWS_AT_ONCE": 7,
    "pipeline.scoring.signals.normsim._TARGETS_AT_ONCE": 16,
    "pipeline.sources.formats.folder.FILES_PER_CHUNK": 5,
    "pipeline.sources.formats.lance_table.ROWS_PER_READ": 2,
    "pipeline.sources.formats.parquet.ROWS_PER_READ": 2,
    "pipeline.stages.decode.PAIRS_PER_WINDOW": 4,
    "pipeline.table.compact.ROWS_PER_FRAGMENT": 10,
    "pipeline.table.ledger.ROWS_PER_BATCH": 3,
    "pipeline.table.remove.ROWS_PER_FRAGMENT": 3,
    "pipeline.table.ROWS_PER_BATCH": 3,
    "pipeline.verify.embedded_again.ROWS_PER_BATCH": 3,
    "pipeline.verify.uniqueness.ROWS_PER_BATCH": 3,
    "pipeline.verify.uniqueness.ROWS_PER_PASS": 10,
}


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that is about one of these sizes gives its own."""
    for path, rows in FEW_AT_ONCE.items():
        module, _, name = path.rpartition(".")
        monkeypatch.setattr(import_module(module), name, rows)
