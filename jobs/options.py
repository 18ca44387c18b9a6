"""A command's options: one frozen pydantic model, filled from `--config FILE` (YAML), then from the command line.

Each default is written once, in the model. A key or value that the model does not accept is refused before any work
starts. The message names the file, the key and the nearest known key.
"""

from __future__ import annotations

import argparse
import types
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from jobs.option_groups import GROUPS, OF_EVERY_COMMAND
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
        raise UsageError(f"command line: {_unexpected(unknown[0], parser.flags(), command)}")
    given = {name: value for name in model.model_fields if (value := getattr(known, name)) is not None}
    in_file = _read_config(known.config, model, command) if known.config else {}
    empty = [name for name, value in (in_file | given).items() if value == ""]
    if empty:  # as in a script whose variable is not set
        where = flag(empty[0]) if empty[0] in given else f"config {known.config}: {empty[0]}"
        raise UsageError(f"{where}: the value is empty; give one, or leave the option out")
    try:
        return model.model_validate(in_file | given), known
    except ValidationError as error:
        raise UsageError("; ".join(_complaints(error, known.config if in_file else None, given))) from error


def to_yaml(options: BaseModel) -> str:
    return yaml.safe_dump(options.model_dump(mode="json"), sort_keys=False)


def as_words(options: BaseModel, names: Iterable[str]) -> list[str]:
    """The words of a command line that give these options the values that they have here."""
    return [word for name in names for word in _words(name, getattr(options, name), type(options).model_fields[name])]


def _words(name: str, value: Any, field: FieldInfo) -> list[str]:
    option = flag(name)
    if isinstance(value, bool):
        return [option if value else option.replace("--", "--no-", 1)]
    if _is_repeatable(field):
        return [word for each in value for word in (option, str(each))]
    if _is_tuple(field):
        return [option, ",".join(map(str, value))] if value else [option]
    return [option, str(value)]


class _Parser(argparse.ArgumentParser):
    """A parser that raises UsageError, with a message of one line, instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)

    def flags(self) -> list[str]:
        return [flag for action in self._actions for flag in action.option_strings]


def _parser(model: type[BaseModel], command: str, summary: str) -> _Parser:
    parser = _Parser(
        f"siglane {command}", usage=_usage(model, command), description=summary, allow_abbrev=False, add_help=False
    )
    groups = _groups(parser, model)
    for name, field in model.model_fields.items():
        _add(groups[name], name, field)
    common = parser.add_argument_group(OF_EVERY_COMMAND)
    common.add_argument("-h", "--help", action="help", help="show this help and exit")
    common.add_argument("--config", metavar="FILE", help="YAML file with these options; the command line overrides it")
    common.add_argument("--print-config", action="store_true", help="print the resolved options as YAML and exit")
    common.add_argument("--json", action="store_true", help="print the summary as one JSON object on stdout")
    return parser


def _usage(model: type[BaseModel], command: str) -> str:
    required = [
        f"{flag(name)} {_metavar(name, field)}" for name, field in model.model_fields.items() if field.is_required()
    ]
    return " ".join(["siglane", command, *required, "[options]"])


def _groups(parser: argparse.ArgumentParser, model: type[BaseModel]) -> dict[str, argparse._ArgumentGroup]:
    """The heading in the help of each option, in the order of `GROUPS`."""
    listed = {name: title for title, names in GROUPS.items() for name in names}
    title_of = {name: listed.get(name, "options") for name in model.model_fields}
    used = [title for title in ("options", *GROUPS) if title in title_of.values()]
    made = {title: parser.add_argument_group(title) for title in used}
    return {name: made[title] for name, title in title_of.items()}


def _add(group: argparse._ArgumentGroup, name: str, field: FieldInfo) -> None:
    option, help_text = flag(name), _help(field)
    if field.annotation is bool:
        group.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=help_text)
    elif _is_repeatable(field):
        group.add_argument(option, metavar=_metavar(name, field), action="append", help=help_text)
    elif _is_tuple(field):
        group.add_argument(option, metavar="A,B", type=lambda text: text.split(","), help=help_text, **_alone(field))
    else:
        group.add_argument(option, metavar=_metavar(name, field), help=help_text, **_alone(field))


def _metavar(name: str, field: FieldInfo) -> str:
    """What stands for the value in the help: the choices, if the option has some."""
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return "{" + ",".join(map(str, choices)) + "}" if choices else name.rpartition("_")[2].upper()


def flag(name: str) -> str:
    """The option's name on the command line."""
    return f"-{name}" if len(name) == 1 else "--" + name.replace("_", "-")


def _help(field: FieldInfo) -> str:
    text = (field.description or "").replace("%", "%%")
    if _is_repeatable(field):
        text += " (can be repeated)"
    if field.is_required():
        return f"{text} (required)"
    has_default = field.default not in (None, ()) and field.default is not False
    return f"{text} (default: {field.default})" if has_default else text


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


def _read_config(file: str, model: type[BaseModel], command: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"config {file}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UsageError(f"config {file}: does not map option names to values; write lines like `input: photos/`")
    for key in content:
        if key not in model.model_fields:
            known = list(model.model_fields)
            near = _near(str(key), known)
            raise UsageError(f"config {file}: unknown key {str(key)!r}; {near}`siglane {command} --help` lists all")
    return content


def _unexpected(word: str, flags: Sequence[str], command: str) -> str:
    """The complaint about a word of the command line that is no option."""
    if not word.startswith("-"):
        return (
            f"{word!r} belongs to no option; write the option before its value, e.g. --input {word}, and quote a value "
            "with spaces"
        )
    option = word.partition("=")[0]
    return f"unknown option {option!r}; {_near(option, flags)}`siglane {command} --help` lists all"


def _near(word: str, known: Sequence[str]) -> str:
    """The known words that a mistyped one may stand for: spelled alike, or with a part in common."""
    plain = {other.strip("-").replace("_", "-"): other for other in known}
    typed = word.strip("-").replace("_", "-")
    alike = get_close_matches(typed, plain, n=3)
    shared = [other for other in plain if set(typed.split("-")) & set(other.split("-"))]
    near = [plain[other] for other in dict.fromkeys([*alike, *shared])][:3]
    return f"did you mean {' or '.join(map(repr, near))}? " if near else ""


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
