"""`--log-format json`: whatever the command itself says is an object on a line of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Siglane
from tests.samples import write_photos


@pytest.fixture
def broken(tmp_path: Path) -> Siglane:
    """`siglane` with a bug: its committer raises what nobody expects."""
    folder = tmp_path / "before"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import threading\n"
        "from pipeline.table import commit\n"
        "def fails(*_arguments):\n"
        "    thread = threading.Thread(target=lambda: 1 / 0, name='beside')\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "    raise RuntimeError('first line\\nsecond line')\n"
        "commit.Committer.commit = fails\n"
    )
    return Siglane(tmp_path, folder)


def said(siglane: Siglane, *arguments: object, code: int) -> list[dict[str, Any]]:
    process = siglane.start(*arguments, "--log-format", "json")
    out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (code, ""), err
    return [json.loads(line) for line in err.splitlines()]


def test_an_error_that_nobody_expected_is_one_object_with_its_traceback(
    broken: Siglane, tmp_path: Path, model: Path
) -> None:
    write_photos(tmp_path / "in", 2)
    lines = said(broken, "embed", "--input", "in", "--table", "t", "--model", model, "--local", code=1)
    last = lines[-1]
    assert (last["level"], last["message"]) == ("error", "siglane embed: RuntimeError: first line")
    assert last["traceback"].startswith("Traceback (most recent call last):\n")
    assert last["traceback"].endswith("RuntimeError: first line\nsecond line\n")
    # a slow machine comes to a second commit, as a run that fails commits what is finished
    beside, *_ = [line for line in lines if line["message"].startswith("the thread beside ended")]
    assert "ZeroDivisionError" in beside["message"]
    assert beside["traceback"].endswith("ZeroDivisionError: division by zero\n")


def test_an_error_that_is_known_and_the_summary_are_objects_too(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 2)
    *_, wrong = said(siglane, "embed", "--input", "no", "--table", "t", "--model", model, "--local", code=1)
    assert (wrong["level"], wrong["message"]) == (
        *("error", "siglane embed: input no: no such file or folder; check --input"),
    )
    assert "traceback" not in wrong
    *_, done = said(siglane, "embed", "--input", "in", "--table", "t", "--model", model, "--local", code=0)
    assert (done["level"], done["message"].startswith("t: read 2 = embedded 2")) == ("info", True)
