"""Rules for pairs: one cut, or several cuts of which all or any must hold. `--rule FILE` reads them from YAML:

    all:
      - {by: cosine, max_mismatch_fraction: 0.05}
      - any:
          - {by: image_shorter_side, min: 200}
          - {by: image_aspect, max: 3}
      - weighted_sum: {cosine: 0.7, normsim_inf: 0.3}
        top_fraction: 0.3

A pair without a value for a cut does not meet that cut. Each cut is computed from all filtered rows, whatever the other
cuts keep. So the order of cuts does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from pipeline.errors import UsageError
from pipeline.filtering.cuts import cuts
from pipeline.filtering.found_fields import with_fields
from pipeline.filtering.manifest import Manifest

T = TypeVar("T")
Number = Annotated[float, Field(allow_inf_nan=False)]


def _some(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    if not rules:
        raise ValueError("the list is empty; give one or more rules")
    return rules


_LIMITS = tuple(cuts())


@with_fields({name: (kind.VALUE | None, None) for name, kind in cuts().items()})
class CutRule(BaseModel):
    """One cut: the score that ranks pairs, `by` or `weighted_sum`, and one limit, under the name of its kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str | None = None
    """a column of numbers"""
    weighted_sum: Annotated[dict[str, Number], Field(min_length=1)] | None = None
    """weight by column; each column is scaled to 0..1 by its smallest and largest value in pairs that have them all"""

    @model_validator(mode="after")
    def _one_score_and_one_limit(self) -> CutRule:
        if (self.by is None) == (self.weighted_sum is None):
            raise ValueError("give either by or weighted_sum")
        if sum(getattr(self, name) is not None for name in _LIMITS) != 1:
            raise ValueError(f"give one of {', '.join(_LIMITS[:-1])} and {_LIMITS[-1]}")
        if self.by is None and not cuts()[self.limit].FOR_SUMS:
            raise ValueError(f"{self.limit} needs by; it cannot be used with weighted_sum")
        return self

    @property
    def limit(self) -> str:
        """The kind of cut: a key of `cuts.cuts()`."""
        return next(name for name in _LIMITS if getattr(self, name) is not None)

    @property
    def value(self) -> Any:
        """The value of the limit, of its kind's type."""
        return getattr(self, self.limit)

    @property
    def score(self) -> str | Mapping[str, float]:
        """A column, or the weights of several columns."""
        return self.by if self.by is not None else self.weighted_sum or {}

    @property
    def columns(self) -> list[str]:
        return [self.score] if isinstance(self.score, str) else list(self.score)

    @property
    def name(self) -> str:
        """Name for display: `cosine`, or `0.7 x cosine + 0.3 x normsim_inf`."""
        if isinstance(self.score, str):
            return self.score
        return " + ".join(f"{weight:g} x {column}" for column, weight in self.score.items())


class AllOf(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    all: Annotated[tuple[Rule, ...], AfterValidator(_some)]


class AnyOf(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    any: Annotated[tuple[Rule, ...], AfterValidator(_some)]


def _kind(value: Any) -> str:
    keys = value if isinstance(value, dict) else type(value).model_fields if isinstance(value, BaseModel) else ()
    return _ALL if "all" in keys else _ANY if "any" in keys else _CUT


# Internal tags. Messages about a place in the file leave them out.
_ALL, _ANY, _CUT = "<all>", "<any>", "<cut>"
Rule = Annotated[
    Annotated[AllOf, Tag(_ALL)] | Annotated[AnyOf, Tag(_ANY)] | Annotated[CutRule, Tag(_CUT)], Discriminator(_kind)
]
AllOf.model_rebuild()
AnyOf.model_rebuild()
_RULE: TypeAdapter[Rule] = TypeAdapter(Rule)


def one_cut(by: str, **limit: Any) -> CutRule:
    """A cut by a column: `one_cut("cosine", min=0.1)`."""
    return CutRule.model_validate({"by": by, **limit})


def read_rule(file: Path) -> Rule:
    """Reads a rule. Raises UsageError with the file, the place in it, the cause and the fix."""
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            f"rule {file}: cannot be read: {' '.join(str(error).split())}; give a YAML file with --rule"
        ) from error
    return parse_rule(content, f"rule {file}")


def rule_of(manifest: Path) -> Rule | None:
    """The rule of an earlier filter; None if it cut by one column.

    Raises:
        UsageError: the file is not a filter's manifest.
    """
    rule = Manifest.read(manifest).rule
    return None if rule is None else parse_rule(rule, f"rule of the manifest {manifest}")


def parse_rule(content: Any, where: str) -> Rule:
    """A rule from parsed YAML or JSON. `where`: its name in errors.

    Raises:
        UsageError: the content is not a valid rule.
    """
    try:
        return _RULE.validate_python(content)
    except ValidationError as error:
        raise UsageError("; ".join(_complaints(error, where))) from error


def dumped(rule: Rule) -> Any:
    """The rule for JSON, in the form that `parse_rule` reads."""
    return _RULE.dump_python(rule, mode="json", exclude_none=True)


def cut_rules(rule: Rule, path: str = "") -> Iterator[tuple[str, CutRule]]:
    """Every cut in order, with its position: `all[1].any[0]`, or empty if the rule is a single cut."""
    if isinstance(rule, CutRule):
        yield path, rule
        return
    key = "all" if isinstance(rule, AllOf) else "any"
    for number, member in enumerate(_members(rule)):
        yield from cut_rules(member, f"{path}{'.' if path else ''}{key}[{number}]")


def combined(
    rule: Rule, of_cuts: Iterable[T], all_of: Callable[[Sequence[T]], T], any_of: Callable[[Sequence[T]], T]
) -> T:
    """The result of the rule from the results of its cuts, given in the order of `cut_rules`."""
    return _combined(rule, iter(of_cuts), all_of, any_of)


def _combined(
    rule: Rule, of_cuts: Iterator[T], all_of: Callable[[Sequence[T]], T], any_of: Callable[[Sequence[T]], T]
) -> T:
    if isinstance(rule, CutRule):
        return next(of_cuts)
    found = [_combined(member, of_cuts, all_of, any_of) for member in _members(rule)]
    return all_of(found) if isinstance(rule, AllOf) else any_of(found)


def _members(rule: AllOf | AnyOf) -> tuple[Rule, ...]:
    return rule.all if isinstance(rule, AllOf) else rule.any


def _complaints(error: ValidationError, where: str) -> Iterator[str]:
    for item in error.errors():
        place = _place(item["loc"])
        at = f"{where}: {place}: " if place else f"{where}: "
        if item["type"] == "model_type":
            yield f"{at}not a rule: {item['input']!r}; give e.g. {{by: cosine, min: 0.1}}, or a list under all or any"
        elif item["type"] == "extra_forbidden":
            parent, _, key = place.rpartition(".")
            yield f"{where}: {parent + ': ' if parent else ''}unknown key {key!r}; {_allowed(item['loc'])}"
        elif item["type"] == "tuple_type":
            yield f"{at}needs a list of rules, not {item['input']!r}"
        elif item["type"] == "value_error":
            yield f"{at}{item['msg'].removeprefix('Value error, ')}"
        else:
            yield f"{at}{item['msg']}, not {item['input']!r}"


def _allowed(loc: tuple[int | str, ...]) -> str:
    kind = [part for part in loc if part in (_ALL, _ANY, _CUT)][-1]
    if kind != _CUT:
        return "all and any must be the only key, with a list of rules"
    return f"a cut has either by or weighted_sum, and one of {', '.join(_LIMITS)}"


def _place(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part not in (_ALL, _ANY, _CUT):
            text += f"{'.' if text else ''}{part}"
    return text
