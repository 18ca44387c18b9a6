"""Filtering: a query over stored scores. It leaves a folder with a manifest, whole, or nothing at all."""

from pipeline.filtering.json_numbers import finite
from pipeline.filtering.manifest import MANIFEST, FilteredCut, Manifest
from pipeline.filtering.outputs.parquet_images import ParquetWithImages
from pipeline.filtering.outputs.webdataset import WebDataset
from pipeline.filtering.rule import Rule, read_rule, rule_of
from pipeline.filtering.run import Filtered, Output, filter_table
from pipeline.filtering.selection import Selection
from pipeline.filtering.why import Judged, why

__all__ = [
    "MANIFEST",
    "Filtered",
    "FilteredCut",
    "Judged",
    "Manifest",
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
