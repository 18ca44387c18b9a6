"""Filtering: a query over stored scores. It writes a complete folder with a manifest, or nothing at all."""

from pipeline.filtering.cuts import cuts
from pipeline.filtering.json_numbers import finite
from pipeline.filtering.manifest import FilteredCut, FilteredGroup, Manifest, beside
from pipeline.filtering.outputs import Output, outputs, written_as
from pipeline.filtering.rule import CutRule, Rule, one_cut, parse_rule, read_rule, rule_of
from pipeline.filtering.run import Filtered, filter_table
from pipeline.filtering.selection import Selection
from pipeline.filtering.why import Judged, why

__all__ = [
    "CutRule",
    "Filtered",
    "FilteredCut",
    "FilteredGroup",
    "Judged",
    "Manifest",
    "Output",
    "Rule",
    "Selection",
    "beside",
    "cuts",
    "filter_table",
    "finite",
    "one_cut",
    "outputs",
    "parse_rule",
    "read_rule",
    "rule_of",
    "why",
    "written_as",
]
