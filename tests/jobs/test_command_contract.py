"""What every command promises. A new module in `jobs/` is tested here without another line."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from jobs import cli, command, options
from jobs.option_groups import GROUPS

COMMANDS = cli.commands()
# The least that a command must be given where an option that is required is not enough.
NEEDED = {
    "filter": ["--min", "0.1"],
    "query": ["--text", "a dog"],
    "remove": ["--where", "false"],
    "tag": ["--labels", "labels.txt"],
    "dedup": ["--method", "exact"],
    "report": ["--output", "page.html"],
    "inspect": ["--output", "page.html"],
    "import": ["--logit-scale", "100", "--logit-bias", "0"],
    "train": ["--model", "siglip-pico", "--input", "absent"],
}


def parsed_by(name: str, monkeypatch: pytest.MonkeyPatch) -> type[BaseModel]:
    """The options that a command takes."""
    found: list[type[BaseModel]] = []

    def run(model: type[BaseModel], _work: Callable[[Any], Any], _doc: str, _arguments: list[str]) -> int:
        found.append(model)
        return 0

    with monkeypatch.context() as patched:
        patched.setattr(command, "run", run)
        import_module(f"jobs.{name}").main([])
    return found[0]


def least(name: str, model: type[BaseModel]) -> list[str]:
    """Arguments with which the command starts."""
    needed = NEEDED.get(name, [])
    required = [key for key, field in model.model_fields.items() if field.is_required()]
    missing = [key for key in required if options.flag(key) not in needed]
    values = {key: "1" if model.model_fields[key].annotation in (int, float) else "absent/x" for key in missing}
    return [*needed, *(word for key, value in values.items() for word in (options.flag(key), value))]


@pytest.mark.parametrize("name", COMMANDS)
def test_its_options_are_frozen_described_and_refuse_what_they_do_not_know(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = parsed_by(name, monkeypatch)
    assert model.model_config.get("frozen") is True
    assert model.model_config.get("extra") == "forbid"
    assert [key for key, field in model.model_fields.items() if not field.description] == []
    assert COMMANDS[name].endswith(".") or "`" in COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_its_help_names_every_option(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = parsed_by(name, monkeypatch)
    with pytest.raises(SystemExit) as ended:
        import_module(f"jobs.{name}").main(["--help"])
    assert ended.value.code == 0
    words = capsys.readouterr().out.split()
    for flag in [*map(options.flag, model.model_fields), "--config", "--print-config", "--json"]:
        assert any(flag in word for word in words), flag


def test_no_heading_of_the_help_names_an_option_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """`GROUPS` is a list by hand: an option that is renamed must not be left behind in it."""
    known = {key for name in COMMANDS for key in parsed_by(name, monkeypatch).model_fields}
    named = [key for keys in GROUPS.values() for key in keys]
    assert set(named) - known == set()
    assert len(named) == len(set(named))


def test_only_commands_that_bring_rows_in_ask_what_to_keep_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others read images again, and would take the options without any effect."""
    about_rows = {
        name for name in COMMANDS if {"uid_col", "keep_cols"} & set(parsed_by(name, monkeypatch).model_fields)
    }
    assert about_rows == {"embed", "import", "plan"}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_it_prints_as_its_configuration_it_takes_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = import_module(f"jobs.{name}").main
    model = parsed_by(name, monkeypatch)
    assert main([*least(name, model), "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert set(yaml.safe_load(printed)) == set(model.model_fields)
    (tmp_path / "options.yaml").write_text(printed)
    assert main(["--config", str(tmp_path / "options.yaml"), "--print-config"]) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("name", COMMANDS)
def test_a_mistyped_option_is_refused_before_anything_starts(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert import_module(f"jobs.{name}").main(["--no-such-option"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert f"siglane {name}: command line: unknown option '--no-such-option'" in err


@pytest.mark.parametrize("name", COMMANDS)
def test_with_json_its_stdout_is_one_object_or_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With nothing there to work on: most commands fail, with one line that says so."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.txt").write_text("a dog\n")
    code = import_module(f"jobs.{name}").main([*least(name, parsed_by(name, monkeypatch)), "--json"])
    out, err = capfd.readouterr()
    if code == command.DONE:
        assert isinstance(json.loads(out), dict)
    else:
        assert code in (command.FAILED, command.WRONG_USAGE)
        assert out == ""
        assert err.splitlines()[-1].startswith(f"siglane {name}: ")
        assert "Traceback" not in err
