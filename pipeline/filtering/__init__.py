"""Filtering: a query over stored scores. It leaves a folder with a manifest, whole, or nothing at all."""

from pipeline.filtering.artefact import MANIFEST, Filtered, OutputFormat, filter_table
from pipeline.filtering.selection import Selection

__all__ = ["MANIFEST", "Filtered", "OutputFormat", "Selection", "filter_table"]
