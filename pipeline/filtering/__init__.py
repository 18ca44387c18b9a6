"""Filtering: a query over stored scores. It leaves a folder with a manifest, whole, or nothing at all."""

from pipeline.filtering.artefact import Filtered, FilteredCut, Output, filter_table
from pipeline.filtering.earlier import MANIFEST, rule_of
from pipeline.filtering.json_numbers import finite
from pipeline.filtering.parquet_images import ParquetWithImages
from pipeline.filtering.rule import Rule, read_rule
from pipeline.filtering.selection import Selection
from pipeline.filtering.webdataset import WebDataset
from pipeline.filtering.why import Judged, why

__all__ = [
    "MANIFEST",
    "Filtered",
    "FilteredCut",
    "Judged",
    "Output",
    "ParquetWithImages",
    "Rule",
    "Selection",
    "WebDataset",
    "filter_table",
    "finite",
    "read_rule",
    "rule_of",
    "why",
]
