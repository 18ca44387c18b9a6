"""Signals that are not built in: of a file, of a name in a file, or of an installed package."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from jobs import score
from pipeline import scoring, table
from pipeline.errors import SignalError, TableError, UsageError
from pipeline.table import columns
from tests.embedding import embed
from tests.processes import ROOT, Siglane
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet
from tests.tables import cosines_as, write_table

ROWS = 20

VOWELS = """
import pyarrow as pa

FIELDS = {"vowels": pa.int32()}
READ = ("caption",)
NEEDS_TARGET = False

def prepare(context):
    return of_batch

def of_batch(batch):
    return {"vowels": pa.array([count(text) for text in batch["caption"].to_pylist()], pa.int32())}

def count(text):
    return sum(letter in "aeiou" for letter in text)
"""

Write = Callable[..., str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A table whose captions have as many vowels as their row's number."""
    captions = [None if row == 3 else "b" + "a" * row for row in range(ROWS)]
    return write_table(tmp_path / "t", *cosines_as([0.1] * ROWS), caption=captions)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a signal's file, with some of `VOWELS` replaced, and returns its name."""

    def write(*replaced: tuple[str, str], name: str = "vowels.py") -> str:
        code = VOWELS
        for old, new in replaced:
            assert old in code
            code = code.replace(old, new)
        (tmp_path / name).write_text(code, "utf-8")
        return str(tmp_path / name)

    return write


def fill(path: Path, name: str, again: bool = False) -> list[int]:
    return list(scoring.fill_signal(table.parse(str(path)), name, again))


def column(path: Path, name: str) -> list[object]:
    rows = rows_of(path)
    return [rows[key][name] for key in sorted(rows)]


def record(path: Path, name: str) -> dict[str, str]:
    metadata = table.open_table(table.parse(str(path))).schema.field(name).metadata
    found: dict[str, str] = json.loads(metadata[b"siglane:signal"])
    return found


def test_a_file_is_a_signal(path: Path, write: Write) -> None:
    vowels = write()
    assert fill(path, vowels) == [ROWS - 1]
    assert column(path, "vowels") == [None if row == 3 else row for row in range(ROWS)]
    assert fill(path, vowels) == []
    assert record(path, "vowels")["signal"] == "vowels.py"


def test_a_file_may_have_any_other_names(path: Path, write: Write) -> None:
    assert fill(path, write(("NEEDS_TARGET = False", "NEEDS_TARGET = False\nfitted = PACKAGE = EXTRA = 3"))) == [
        ROWS - 1
    ]


CLASS = """
from __future__ import annotations
from dataclasses import dataclass, field
import pyarrow as pa

@dataclass
class Sizes:
    FIELDS = {"caption_bytes": pa.int64(), "is_long": pa.bool_()}
    READ = ("uid", "caption")
    NEEDS_TARGET = False
    VERSION = "7"
    longest: int = 5
    seen: list[str] = field(default_factory=list)

    def prepare(self, context):
        scale = context.logit_scale
        return lambda batch: self.of(batch, scale)

    def of(self, batch, scale):
        assert batch.schema.names == ["uid", "caption"] and scale == 10
        sizes = [len(text.encode()) for text in batch["caption"].to_pylist()]
        return {"is_long": pa.array([n > self.longest for n in sizes]), "caption_bytes": pa.array(sizes)}

short = Sizes(longest=1)
"""


@pytest.mark.parametrize(("name", "longest"), [("Sizes", 5), ("short", 1)])
def test_a_class_or_an_object_in_a_file_is_a_signal(path: Path, tmp_path: Path, name: str, longest: int) -> None:
    (tmp_path / "sizes.py").write_text(CLASS, "utf-8")
    assert fill(path, f"{tmp_path}/sizes.py:{name}") == [ROWS - 1]
    sizes = [None if row == 3 else row + 1 for row in range(ROWS)]
    assert column(path, "caption_bytes") == sizes
    assert column(path, "is_long") == [size and size > longest for size in sizes]
    assert record(path, "is_long") == {"signal": f"sizes.py:{name}", "version": "7"}


@pytest.mark.parametrize("member", ["", ":Vowels"])
def test_an_installed_package_offers_a_signal_by_name(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    installed(tmp_path, monkeypatch, member)
    assert fill(path, "their-vowels") == [ROWS - 1]
    assert column(path, "vowels")[:5] == [0, 1, 2, None, 4]
    assert record(path, "vowels") == {"signal": "their-vowels", "version": "their-package 2.5"}


def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str, package: str = "their-package") -> None:
    """A package with an entry point, as pip lays it out."""
    site = tmp_path / package
    module = f"{package.replace('-', '_')}{len(member)}"
    (site / module).mkdir(parents=True)
    body = (
        VOWELS
        + "\nclass Vowels:\n    FIELDS, READ, NEEDS_TARGET = FIELDS, READ, False\n    prepare = staticmethod(prepare)"
    )
    (site / module / "__init__.py").write_text(body, "utf-8")
    info = site / f"{package}-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.5\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[siglane.signals]\ntheir-vowels = {module}{member}\n", "utf-8")
    monkeypatch.syspath_prepend(str(site))


def test_two_packages_with_one_name_are_refused(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, monkeypatch, "", "one")
    installed(tmp_path, monkeypatch, "", "two")
    with pytest.raises(UsageError, match="signal 'their-vowels': the packages one and two both offer it"):
        fill(path, "their-vowels")


def test_values_of_two_versions_are_never_mixed(path: Path, write: Write) -> None:
    fill(path, write())
    before = column(path, "vowels")
    other = write(('"aeiou"', '"b"'))
    with pytest.raises(TableError, match=r"its vowels was computed by signal 'vowels.py', version \w{16}, .*--all"):
        fill(path, other)
    assert column(path, "vowels") == before
    assert fill(path, other, again=True) == [ROWS - 1]
    assert column(path, "vowels") == [None if row == 3 else 1 for row in range(ROWS)]
    assert fill(path, other) == []


def test_a_declared_version_says_whether_a_change_matters(path: Path, write: Write) -> None:
    declared = ("NEEDS_TARGET = False", "NEEDS_TARGET = False\nVERSION = '1'")
    fill(path, write(declared))
    assert fill(path, write(declared, ("of_batch", "of_rows"))) == []
    with pytest.raises(TableError, match=r"version 1, but this is 'vowels.py', version 2"):
        fill(path, write((declared[0], declared[1].replace("1", "2"))))


def test_a_new_column_of_another_version_is_refused_too(path: Path, write: Write) -> None:
    fill(path, write())
    more = write(
        ('{"vowels": pa.int32()}', '{"letters": pa.int32(), "vowels": pa.int32()}'),
        ('return {"vowels"', 'return {"letters": pa.array([9] * len(batch), pa.int32()), "vowels"'),
    )
    with pytest.raises(TableError, match=r"was computed by signal 'vowels.py'"):
        fill(path, more)
    assert "letters" not in table.open_table(table.parse(str(path))).schema.names
    assert fill(path, more, again=True) == [ROWS - 1]


def test_a_run_that_is_stopped_goes_on(path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "ROWS_PER_COMMIT", 4)
    vowels = write()
    filling = scoring.fill_signal(table.parse(str(path)), vowels)
    filled = next(filling)
    filling.close()  # type: ignore[attr-defined]
    assert 0 < filled < ROWS - 1
    assert sum(fill(path, vowels)) == ROWS - 1 - filled
    assert column(path, "vowels") == [None if row == 3 else row for row in range(ROWS)]


def test_a_run_of_another_version_that_is_stopped_leaves_no_mixture(
    path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path, write())
    monkeypatch.setattr(columns, "ROWS_PER_COMMIT", 4)
    other = write(('"aeiou"', '"b"'))
    filling = scoring.fill_signal(table.parse(str(path)), other, again=True)
    next(filling)
    filling.close()  # type: ignore[attr-defined]
    assert {1, None} == set(column(path, "vowels"))


FAULTS = {
    "no FIELDS": (("FIELDS", "COLUMNS"), "it has no FIELDS; add a dict"),
    "no READ": (("READ", "NEEDS"), "it has no READ; add a tuple"),
    "no NEEDS_TARGET": (("NEEDS_TARGET", "TARGET"), "it has no NEEDS_TARGET; add False"),
    "no prepare": (("prepare", "ready"), "it has no prepare; add a function"),
    "no field": (('{"vowels": pa.int32()}', "{}"), "its FIELDS is {}; it must be a dict"),
    "a type of numpy": (("FIELDS = {", "import numpy\nFIELDS = {'x': numpy.int32, "), "its FIELDS is .*must be a dict"),
    "a type that no column has": (
        ("pa.int32()}", "pa.list_(pa.int8())}"),
        "its column 'vowels' has type list<.*numbers",
    ),
    "one string": (('("caption",)', '"caption"'), r"its READ is 'caption'; .*e.g. \('caption',\)"),
    "nothing read": (('("caption",)', "()"), r"its READ is \(\)"),
    "no bool": (("NEEDS_TARGET = False", "NEEDS_TARGET = None"), "its NEEDS_TARGET is None"),
    "no function": (("def prepare(context):\n    return of_batch", "prepare = 5"), "its prepare is"),
    "a version of a number": (
        ("NEEDS_TARGET = False", "NEEDS_TARGET = False\nVERSION = 3"),
        "its VERSION is 3; .*string",
    ),
    "a reserved column": (('{"vowels": pa.int32()}', '{"cosine": pa.int32()}'), "its column 'cosine' cannot have this"),
    "a column with a blank": (('{"vowels": pa.int32()}', '{"a b": pa.int32()}'), "its column 'a b' cannot have this"),
    "another's column": (('{"vowels"', '{"caption_words"'), "'caption_words' is one of signal 'caption_length'"),
    "a target": (("NEEDS_TARGET = False", "NEEDS_TARGET = True"), "--signal .*/vowels.py compares .*: give --target"),
    "an error": (("FIELDS =", "x = 1 / 0\nFIELDS ="), "/vowels.py line 4: ZeroDivisionError: division by zero"),
    "an end": (("FIELDS =", "raise SystemExit(3)\nFIELDS ="), "/vowels.py line 4: SystemExit: 3"),
    "no Python": (("FIELDS =", "FIELDS = ="), "/vowels.py line 4: SyntaxError: invalid syntax"),
    "a package that is missing": (
        ("import", "import absent_package\nimport"),
        "line 2: ModuleNotFoundError: No module",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_signal_is_refused_before_anything_starts(
    path: Path, write: Write, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    replaced, said = FAULTS[fault]
    before = table.open_table(table.parse(str(path))).version
    assert score.main(["--table", str(path), "--signal", write(replaced)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert re.search(said, line), line
    assert table.open_table(table.parse(str(path))).version == before


def test_a_file_or_a_name_that_is_not_there_is_refused(path: Path, write: Write, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent.py: cannot be read: No such file or directory; give the path"):
        fill(path, f"{tmp_path}/absent.py")
    with pytest.raises(UsageError, match=r"vowels.py:Vowels: the file has no Vowels; it has pa, FIELDS, .*, count"):
        fill(path, write() + ":Vowels")


def test_a_file_that_imports_its_neighbour_is_refused(
    path: Path, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where Python would find it, as in the folder that a command is started in."""
    (tmp_path / "near.py").write_text("x = 1", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    write(("import pyarrow", "import near\nimport pyarrow"))
    with pytest.raises(UsageError, match=r"imports near, a file beside it, which would not travel .* one file, or"):
        fill(path, "vowels.py")
    assert sys.path[0] == str(tmp_path)


def test_columns_of_others_are_left_as_they_are(tmp_path: Path, write: Write) -> None:
    """Also with --all: they may be kept from the source."""
    kept = pa.array([5, None], pa.int32())
    path = write_table(tmp_path / "kept", *cosines_as([0.1, 0.2]), vowels=kept)
    for again in (False, True):
        with pytest.raises(
            TableError, match=r"its column 'vowels' was not filled by a signal, .*another name in FIELDS"
        ):
            fill(path, write(), again)
    assert column(path, "vowels") == [5, None]
    with pytest.raises(TableError, match=r"no column 'title', which signal 'vowels.py' reads; it has uid, "):
        fill(path, write(('("caption",)', '("title",)')))


def test_a_column_of_a_signal_is_not_kept_from_a_source(tmp_path: Path, write: Write, model: Path) -> None:
    """A run that embeds more would mix values of the source with those of the signal."""
    vowels = pa.array([7], pa.int32())
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(0)], ["x"], vowels=vowels)
    embed(tmp_path / "in", tmp_path / "t", model)
    fill(tmp_path / "t", write())
    write_parquet(tmp_path / "in" / "b.parquet", [jpeg(1)], ["x"], vowels=vowels)
    with pytest.raises(
        TableError, match=r"column 'vowels' is filled by signal 'vowels.py'; .* without it in --keep-cols"
    ):
        embed(tmp_path / "in", tmp_path / "t", model, keep_cols=("vowels",))
    embed(tmp_path / "in", tmp_path / "t", model)
    assert column(tmp_path / "t", "vowels") == [0, None]


def test_two_signals_of_one_column_are_refused(path: Path, write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    both = f"{write()},{write(name='others.py')}"
    assert score.main(["--table", str(path), "--signal", both]) == 2
    assert "signal 'others.py': its column 'vowels' is one of signal 'vowels.py'" in capfd.readouterr().err


RETURNS = 'return {"vowels": pa.array([count(text) for text in batch["caption"].to_pylist()], pa.int32())}'
ANSWERS = {
    "nothing": ("return None", "it returned None, but FIELDS has vowels"),
    "other columns": ("return {'a': 1, 'b': 2}", "it returned the columns a, b, but FIELDS has vowels"),
    "a list": ("return {'vowels': [1] * len(batch)}", r"its vowels is a list; return pa.array\(values, pa.int32\(\)\)"),
    "too few": ("return {'vowels': pa.array([1], pa.int32())}", "it returned 1 values of vowels for [67] rows"),
    "another type": (
        "return {'vowels': pa.array([1] * len(batch))}",
        "its vowels has type int64, but FIELDS says int32",
    ),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_a_signal_returns_is_checked(path: Path, write: Write, answer: str) -> None:
    code, said = ANSWERS[answer]
    with pytest.raises(SignalError, match=f"signal 'vowels.py': {said}; at the [67] rows from uid .*; fix .*vowels.py"):
        fill(path, write((RETURNS, code)))
    assert set(column(path, "vowels")) == {None}


def test_an_error_inside_names_line_and_row(path: Path, write: Write) -> None:
    wrong = write(("    return sum", "    assert len(text) != 13, 'unlucky\\nnumber'\n    return sum"))
    (uid,) = [row["uid"] for row in rows_of(path).values() if row["caption"] == "b" + "a" * 12]
    said = f"signal 'vowels.py': .*/vowels.py line 15: AssertionError: unlucky number; at the row with uid {uid}$"
    with pytest.raises(SignalError, match=said):
        fill(path, wrong)


def test_an_error_of_rows_together_names_their_batch(path: Path, write: Write) -> None:
    together = write(("def of_batch(batch):", "def of_batch(batch):\n    len(batch) < 4 or [][0]"))
    with pytest.raises(
        SignalError, match=r"vowels.py line 12: IndexError: .*; at the [467] rows from uid [0-9a-f]{32}"
    ):
        fill(path, together)


def test_an_error_while_it_prepares_names_the_line(path: Path, write: Write) -> None:
    with pytest.raises(SignalError, match=r"signal 'vowels.py': .*/vowels.py line 9: KeyError: 'x'$"):
        fill(path, write(("    return of_batch\n", "    return {}['x']\n")))
    with pytest.raises(SignalError, match=r"signal 'vowels.py': its prepare returned a dict; return a function"):
        fill(path, write(("    return of_batch\n", "    return {}\n")))


def test_an_error_ends_the_command_with_one_line(path: Path, write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    assert score.main(["--table", str(path), "--signal", write(("return sum", "return 1 / 0 + sum"))]) == 1
    assert re.fullmatch(r"siglane score: signal 'vowels.py': .* line 15: Zero.*uid \w+\n", capfd.readouterr().err)


def test_the_example_of_the_documents_runs(path: Path, siglane: Siglane) -> None:
    page = (ROOT / "docs" / "filtering.md").read_text("utf-8")
    name, code = re.search(r"`(\w+\.py)`:\n\n```python\n(.*?)```", page, re.DOTALL).groups()  # type: ignore[union-attr]
    (siglane.folder / name).write_text(code, "utf-8")
    summary = siglane("score", "--table", "t", "--signal", f"{name},caption_length")
    assert summary["signals"][name] == ROWS - 1
    field, *_ = re.search(r"FIELDS = \{\"(\w+)\"", code).groups()  # type: ignore[union-attr]
    assert all((value is None) == (row == 3) for row, value in enumerate(column(path, field)))
