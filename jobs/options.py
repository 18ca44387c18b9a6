"""A command's options: one frozen pydantic model, filled from `--config FILE` (YAML), then from the command line.

Each default is written once, in the model. A key or value that the model does not accept is refused before any work
starts. The message names the file, the key and the nearest known key.
"""

from __future__ import annotations

import argparse
import types
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from pipeline.errors import UsageError

Options = TypeVar("Options", bound=BaseModel)


class Invocation(argparse.Namespace):
    """The options that every command has in addition to its own."""

    config: str | None
    print_config: bool
    json: bool


def parse(model: type[Options], command: str, summary: str, arguments: Sequence[str]) -> tuple[Options, Invocation]:
    """The options of one invocation.

    Raises:
        UsageError: a key is unknown, a value is missing or wrong, or the configuration file cannot be read.
    """
    parser = _parser(model, command, summary)
    known, unknown = parser.parse_known_args(arguments, namespace=Invocation())
    if unknown:
        raise UsageError(_unknown("command line", unknown[0].partition("=")[0], parser.flags()))
    given = {name: value for name in model.model_fields if (value := getattr(known, name)) is not None}
    in_file = _read_config(known.config, model) if known.config else {}
    try:
        return model.model_validate(in_file | given), known
    except ValidationError as error:
        raise UsageError("; ".join(_complaints(error, known.config if in_file else None, given))) from error


def to_yaml(options: BaseModel) -> str:
    return yaml.safe_dump(options.model_dump(mode="json"), sort_keys=False)


class _Parser(argparse.ArgumentParser):
    """A parser that raises UsageError, with a message of one line, instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)

    def flags(self) -> list[str]:
        return [flag for action in self._actions for flag in action.option_strings]


def _parser(model: type[BaseModel], command: str, summary: str) -> _Parser:
    parser = _Parser(f"siglane {command}", description=summary, allow_abbrev=False)
    for name, field in model.model_fields.items():
        option, help_text = flag(name), _help(field)
        if field.annotation is bool:
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=help_text)
        elif _is_repeatable(field):
            parser.add_argument(option, metavar=name.rpartition("_")[2].upper(), action="append", help=help_text)
        elif _is_tuple(field):
            parser.add_argument(
                option, metavar="A,B", type=lambda text: text.split(","), help=help_text, **_alone(field)
            )
        else:
            parser.add_argument(option, metavar=name.rpartition("_")[2].upper(), help=help_text, **_alone(field))
    parser.add_argument("--config", metavar="FILE", help="YAML file with these options; the command line overrides it")
    parser.add_argument("--print-config", action="store_true", help="print the resolved options as YAML and exit")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object on stdout")
    return parser


def flag(name: str) -> str:
    """The option's name on the command line."""
    return f"-{name}" if len(name) == 1 else "--" + name.replace("_", "-")


def _help(field: FieldInfo) -> str:
    text = (field.description or "").replace("%", "%%")
    if field.is_required():
        return f"{text} (required)"
    if _is_repeatable(field):
        text += " (can be repeated)"
    return text if field.default in (None, False, ()) else f"{text} (default: {field.default})"


def _is_repeatable(field: FieldInfo) -> bool:
    """Whether each value has its own flag, as values may contain commas: `json_schema_extra={"repeatable": True}`."""
    return _has(field, "repeatable", True)


def _alone(field: FieldInfo) -> dict[str, Any]:
    """For an option that can be given without a value, and then has this one: `json_schema_extra={"alone": VALUE}`."""
    extra = field.json_schema_extra
    return {"nargs": "?", "const": extra["alone"]} if isinstance(extra, dict) and "alone" in extra else {}


def _has(field: FieldInfo, name: str, value: object) -> bool:
    return isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get(name) == value


def _is_tuple(field: FieldInfo) -> bool:
    annotation = field.annotation
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return any(get_origin(member) is tuple for member in members)


def _read_config(file: str, model: type[BaseModel]) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"config {file}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UsageError(f"config {file}: does not map option names to values; write lines like `input: photos/`")
    for key in content:
        if key not in model.model_fields:
            raise UsageError(_unknown(f"config {file}", str(key), list(model.model_fields)))
    return content


def _unknown(where: str, key: str, allowed: Sequence[str]) -> str:
    near = get_close_matches(key, allowed, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return (
        f"{where}: unknown {'option' if key.startswith('-') else 'key'} {key!r}; {guess}allowed: {', '.join(allowed)}"
    )


def _complaints(error: ValidationError, file: str | None, given: dict[str, Any]) -> Iterator[str]:
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "missing":
            yield f"{flag(key)} is required"
        elif not key:  # a rule over several options
            yield item["msg"].removeprefix("Value error, ")
        else:
            where = flag(key) if file is None or key in given else f"config {file}: {key}"
            yield f"{where}: {item['msg']}, not {item['input']!r}"
