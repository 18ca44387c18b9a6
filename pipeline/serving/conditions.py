"""Conditions on a table's columns, as clients write them.

    cosine >= 0.2 AND (source LIKE 'a%' OR NOT width IN (100, 200)) AND caption IS NOT NULL

They look like SQL, but no text of a client becomes SQL. A condition is parsed, each column must exist, and each value
must have the column's type. SQL is then written anew from what was parsed. There are no functions and no subqueries,
and the size is bounded.

    condition  = and { OR and }
    and        = not { AND not }
    not        = NOT not | "(" condition ")" | comparison
    comparison = column ( = | != | <> | < | <= | > | >= ) value
               | column [NOT] IN "(" value { "," value } ")"
               | column [NOT] BETWEEN value AND value
               | column [NOT] (LIKE | ILIKE) value
               | column IS [NOT] NULL
    column     = word | "`" name "`" | '"' name '"'
    value      = "'" text "'" | number | TRUE | FALSE
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal, NoReturn

import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.search.near_names import near_names

MOST_CHARACTERS = 4_000
MOST_COMPARISONS = 100
MOST_VALUES = 1_000
"""in one IN"""
DEEPEST = 30
"""parentheses and NOTs inside each other"""

_WORDS = frozenset({"AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "ILIKE", "BETWEEN", "TRUE", "FALSE"})
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
    |(?P<text>'(?:[^']|'')*')
    |`(?P<quoted>[^`]+)`|"(?P<double>[^"]+)"
    |(?P<word>[^\W\d]\w*)
    |(?P<sign><>|<=|>=|!=|[=<>(),])
    )""",
    re.VERBOSE,
)

Kind = Literal["number", "text", "column", "word", "sign", "end"]


@dataclass(frozen=True)
class _Token:
    kind: Kind
    value: str
    place: int

    def __str__(self) -> str:
        return "its end" if self.kind == "end" else f"{self.value!r} at character {self.place + 1}"


def to_sql(condition: str, columns: pa.Schema) -> str:
    """The condition as SQL for Lance.

    Raises:
        UsageError: it does not follow the grammar, names a column that does not exist or cannot be compared, compares a
            column with a value of another type, or is too large.
    """
    if len(condition) > MOST_CHARACTERS:
        raise UsageError(f"where: {len(condition)} characters; give at most {MOST_CHARACTERS}")
    return _Parser(list(_tokens(condition)), columns).whole()


def comparable(field: pa.Field) -> bool:
    """Whether conditions can compare this column with values."""
    return _kind(field.type) is not None and "`" not in field.name


def _tokens(condition: str) -> Iterator[_Token]:
    place = 0
    while condition[place:].strip():
        found = _TOKEN.match(condition, place)
        if found is None:
            start = place + len(condition[place:]) - len(condition[place:].lstrip())
            raise UsageError(
                f"where: cannot read {condition[start : start + 20]!r} at character {start + 1}; write e.g. "
                "cosine >= 0.2 AND source LIKE 'a%'"
            )
        name, value = next((name, value) for name, value in found.groupdict().items() if value is not None)
        start, place = found.start(name), found.end()
        if name == "word" and value.upper() in _WORDS:
            yield _Token("word", value.upper(), start)
        elif name in ("word", "quoted", "double"):
            yield _Token("column", value, start)
        elif name == "text":
            yield _Token("text", value[1:-1].replace("''", "'"), start)
        else:
            yield _Token("number" if name == "number" else "sign", value, start)
    yield _Token("end", "", len(condition))


class _Parser:
    """One method for each rule of the grammar. Each returns SQL."""

    def __init__(self, tokens: list[_Token], columns: pa.Schema) -> None:
        self._tokens, self._at = tokens, 0
        self._columns = columns
        self._comparisons = self._depth = 0

    def whole(self) -> str:
        sql = self._condition()
        if self._next.kind != "end":
            self._unexpected("AND, OR or its end")
        return sql

    def _condition(self) -> str:
        parts = [self._and()]
        while self._takes("word", "OR"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"

    def _and(self) -> str:
        parts = [self._not()]
        while self._takes("word", "AND"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else f"({' AND '.join(parts)})"

    def _not(self) -> str:
        is_not, is_group = self._takes("word", "NOT"), False
        if not is_not:
            is_group = self._takes("sign", "(")
        if not (is_not or is_group):
            return self._comparison()
        self._depth += 1
        if self._depth > DEEPEST:
            raise UsageError(f"where: more than {DEEPEST} parentheses and NOTs inside each other; simplify it")
        sql = f"(NOT {self._not()})" if is_not else self._condition()
        if is_group:
            self._require("sign", ")")
        self._depth -= 1
        return sql

    def _comparison(self) -> str:
        self._comparisons += 1
        if self._comparisons > MOST_COMPARISONS:
            raise UsageError(f"where: more than {MOST_COMPARISONS} comparisons; use IN for lists of values")
        field = self._column()
        name = f"`{field.name}`"
        if self._takes("word", "IS"):
            is_not = " NOT" if self._takes("word", "NOT") else ""
            self._require("word", "NULL")
            return f"({name} IS{is_not} NULL)"
        is_not = "NOT " if self._takes("word", "NOT") else ""
        if self._takes("word", "IN"):
            return f"({name} {is_not}IN ({', '.join(self._values(field))}))"
        if self._takes("word", "BETWEEN"):
            low = self._value(field)
            self._require("word", "AND")
            return f"({name} {is_not}BETWEEN {low} AND {self._value(field)})"
        for like in ("LIKE", "ILIKE"):
            if self._takes("word", like):
                if _kind(field.type) != "text":
                    raise UsageError(f"where: {like} is for text, but column {field.name!r} is {field.type}")
                return f"({name} {is_not}{like} {self._value(field)})"
        operator = self._next
        if is_not or operator.kind != "sign" or operator.value in "(),":
            self._unexpected("=, !=, <, <=, >, >=, IN, BETWEEN, LIKE, ILIKE or IS")
        self._at += 1
        return f"({name} {operator.value} {self._value(field)})"

    def _column(self) -> pa.Field:
        token = self._next
        if token.kind != "column":
            self._unexpected("a column")
        self._at += 1
        known = [field.name for field in self._columns if comparable(field)]
        if token.value in known:
            return self._columns.field(token.value)
        if token.value in self._columns.names:
            kind = self._columns.field(token.value).type
            raise UsageError(f"where: column {token.value!r} is {kind}, which no condition can compare")
        near = near_names(token.value, known)
        raise UsageError(f"where: no column {token.value!r}; choose from {', '.join(near)}")

    def _values(self, field: pa.Field) -> list[str]:
        self._require("sign", "(")
        values = [self._value(field)]
        while self._takes("sign", ","):
            values.append(self._value(field))
            if len(values) > MOST_VALUES:
                raise UsageError(f"where: more than {MOST_VALUES} values in one IN; give fewer")
        self._require("sign", ")")
        return values

    def _value(self, field: pa.Field) -> str:
        token = self._next
        if token.kind not in ("text", "number") and token.value not in ("TRUE", "FALSE"):
            self._unexpected("a value: a number, TRUE, FALSE, or a text in single quotes")
        self._at += 1
        sql = _literal(field.type, token)
        if sql is None:
            raise UsageError(
                f"where: column {field.name!r} is {field.type}, so it cannot be compared with {token}; "
                f"{_EXAMPLES[_kind(field.type) or 'text']}"
            )
        return sql

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _takes(self, kind: Kind, value: str) -> bool:
        takes = (self._next.kind, self._next.value) == (kind, value)
        self._at += takes
        return takes

    def _require(self, kind: Kind, value: str) -> None:
        if not self._takes(kind, value):
            self._unexpected(value)

    def _unexpected(self, wanted: str) -> NoReturn:
        raise UsageError(f"where: expected {wanted}, not {self._next}")


_EXAMPLES = {
    "text": "write a text in single quotes, e.g. 'a dog'",
    "whole": "write a whole number, e.g. 12",
    "number": "write a number, e.g. 0.25",
    "flag": "write TRUE or FALSE",
    "time": "write a time, e.g. '2026-01-31 12:00:00'",
    "date": "write a date, e.g. '2026-01-31'",
}


def _kind(kind: pa.DataType) -> str | None:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_integer(kind):
        return "whole"
    if pa.types.is_floating(kind):
        return "number"
    if pa.types.is_boolean(kind):
        return "flag"
    if pa.types.is_timestamp(kind):
        return "time"
    return "date" if pa.types.is_date(kind) else None


def _literal(kind: pa.DataType, token: _Token) -> str | None:
    """SQL of a value of this type; None if the token is no such value."""
    match _kind(kind), token.kind:
        case "text", "text":
            return "'" + token.value.replace("'", "''") + "'"
        case "whole", "number":
            try:
                return str(pa.scalar(int(token.value), kind).as_py())
            except (ValueError, pa.ArrowInvalid, OverflowError):
                return None
        case "number", "number":
            number = float(token.value)
            return repr(number) if abs(number) < float("inf") else None
        case "flag", "word":
            return token.value
        case "time" | "date" as moment, "text":
            return _moment(moment, token.value)
    return None


def _moment(kind: str, text: str) -> str | None:
    try:
        if kind == "date":
            return f"date '{date.fromisoformat(text).isoformat()}'"
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    in_utc = moment if moment.tzinfo is None else moment.astimezone(UTC)
    return f"timestamp '{in_utc.strftime('%Y-%m-%d %H:%M:%S.%f')}'"
