"""Filtering: a query over stored scores. It leaves a folder with a manifest, whole, or nothing at all."""

from pipeline.filtering.json_numbers import finite
from pipeline.filtering.manifest import MANIFEST, FilteredCut, Manifest
from pipeline.filtering.outputs import Output, outputs, written_as
from pipeline.filtering.rule import Rule, read_rule, rule_of
from pipeline.filtering.run import Filtered, filter_table
from pipeline.filtering.selection import Selection
from pipeline.filtering.why import Judged, why

__all__ = [
    "MANIFEST",
    "Filtered",
    "FilteredCut",
    "Judged",
    "Manifest",
    "Output",
    "Rule",
    "Selection",
    "filter_table",
    "finite",
    "outputs",
    "read_rule",
    "rule_of",
    "why",
    "written_as",
]
