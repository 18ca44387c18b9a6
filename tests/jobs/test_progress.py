"""What people see of a command while it works: a bar in a terminal, and lines elsewhere."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import progress as words
from pipeline.progress import Details, Progress, View, current
from tests.processes import Siglane
from tests.samples import write_photos
from tests.terminals import Terminal

# In batches of two, so that the run lasts longer than a bar waits between two looks.
EMBED = ("embed", "--input", "photos", "--table", "t", "--local", "--commit-seconds", 0, "--batch-size", 2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder / "photos", 300)
    (folder / "photos" / "photo0299.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture
def folder(photos: Path, tmp_path: Path) -> Path:
    (tmp_path / "photos").symlink_to(photos / "photos")
    return tmp_path


def test_in_a_terminal_a_bar_counts_the_rows_and_leaves_only_lines_behind(folder: Path, model: Path) -> None:
    terminal = Terminal(folder)
    assert terminal.run(*EMBED, "--model", model) == 0
    assert any(bar.startswith("planning") for bar in terminal.bars)
    assert any("0 of 300 rows, " in bar for bar in terminal.bars), "it shows nothing before the first rows"
    assert any(" of 300 rows (" in bar and " rows/s" in bar and " left" in bar for bar in terminal.bars)
    assert max(map(len, terminal.bars)) < terminal.width
    precision, taken, first, committed, summary, *others, end = terminal.screen
    reject = [line for line in others if not line.startswith(("held up by", "workers at work"))]  # of a slow run
    assert precision.startswith("vectors in ")
    assert taken == "images are the files, captions are the .txt files"
    assert first.startswith("encoding on c")
    assert committed == f"committed 256 rows to {folder}/t, 256 in this run"
    assert summary.startswith("t: read 300 = embedded 299 + rejected 1 (1 decode); 0 were already in the table; ")
    assert " ".join(reject).startswith("rejected as decode, e.g. photo0299.jpg row 0: ")
    assert end == ""


def test_a_bar_breaks_neither_the_summary_for_machines_nor_what_ctrl_c_says(folder: Path, model: Path) -> None:
    terminal = Terminal(folder)
    assert terminal.run(*EMBED, "--model", model, "--json", interrupted_at=" of 300 rows (") == 130
    said = "siglane embed: stopped; finished work is kept, run the same command again to continue"
    assert terminal.screen[-2:] == [said, ""]
    again = Terminal(folder)
    assert again.run(*EMBED, "--model", model, "--json", stdout=subprocess.PIPE) == 0
    assert json.loads(again.stdout)["rejected"] == 1
    assert again.bars


@pytest.mark.parametrize(("width", "most"), [(40, 40), (0, 80)])
def test_words_that_do_not_fit_are_cut(width: int, most: int, folder: Path, model: Path) -> None:
    terminal = Terminal(folder, width)
    assert terminal.run(*EMBED, "--model", model, environment={"COLUMNS": "90"}) == 0
    assert any("of 300 rows (" in bar for bar in terminal.bars)
    assert max(map(len, terminal.bars)) < most


@pytest.mark.parametrize("fault", ["--input absent --table t", "--input photos --table t --model absent"])
def test_a_bar_leaves_an_error_its_one_line(fault: str, folder: Path) -> None:
    terminal = Terminal(folder)
    assert terminal.run("embed", "--local", *("--model", "siglip-pico"), *fault.split()) == 1
    line, end = terminal.screen
    assert line.startswith("siglane embed: ")
    assert end == ""


def test_no_color_takes_the_colours_and_a_dumb_terminal_the_bar(folder: Path, model: Path) -> None:
    plain = Terminal(folder)
    assert plain.run(*EMBED, "--model", model, environment={"NO_COLOR": "1"}) == 0
    assert plain.bars
    assert "\x1b[3" not in plain.written
    dumb = Terminal(folder)
    assert dumb.run(*EMBED, "--model", model, environment={"TERM": "dumb"}) == 0
    assert "\x1b" not in dumb.written


def test_what_others_write_during_a_bar_stays_whole(folder: Path) -> None:
    code = (
        "import logging, sys, time, warnings\n"
        "from jobs import progress\n"
        "logging.basicConfig(stream=sys.stderr, level=logging.INFO, format='%(message)s')\n"
        "from pipeline.progress import current\n"
        "with progress.shown():\n"
        "    current.begin('working', 10)\n"
        "    for count in range(10):\n"
        "        current.add(1)\n"
        "        logging.info('line %d ' + 'x' * 200, count)\n"
        "        print('half a ', end='', flush=True); time.sleep(0.3); print(f'line, and [bold] {count}')\n"
        "        time.sleep(0.3)\n"
        "print('at the end')\n"
    )
    terminal = Terminal(folder, width=80)
    assert terminal.run(code=code) == 0
    expected = [text for n in range(10) for text in (f"line {n} {'x' * 200}", f"half a line, and [bold] {n}")]
    assert terminal.screen == [*expected, "at the end", ""]
    assert len(terminal.bars) >= 10


def test_without_a_terminal_lines_come_more_rarely_as_time_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses = list[float]()

    class Over:
        def wait(self, seconds: float) -> bool:
            pauses.append(seconds)
            return sum(pauses) > 9000

    progress = Progress()
    progress.begin("scoring", 20)
    progress.add(5)
    with caplog.at_level(logging.INFO):
        words._log(progress, Over())  # type: ignore[arg-type]
    assert pauses[:10] == [10.0] * 10
    assert pauses[10:] == sorted(pauses[10:])
    assert pauses[-1] == 300
    assert len(caplog.messages) == len(pauses) - 1
    assert caplog.messages[0].startswith("scoring: 5 of 20 rows (25 %)")


@pytest.mark.parametrize(
    ("view", "line"),
    [
        (View("starting Ray", 12.2), "starting Ray: 12 s"),
        (View("embedding", 3, details=Details(doing="loading the model")), "embedding: loading the model, 3 s"),
        (View("embedding", 3, details=Details(9, False, "reading a")), "embedding: 0 of about 9 rows, reading a, 3 s"),
        (View("scoring", 9, 40, rows_per_second=4.44), "scoring: 40 rows, 4.4 rows/s"),
        (
            View("scoring", 9, 999, 0, 200.0, Details(1000)),
            "scoring: 999 of 1000 rows (99 %), 200 rows/s, 0 s left",
        ),
        (
            View("embedding", 9, 40, 3, 0.5, Details(100, False, None, "input", 0.129)),
            "embedding: 40 of about 100 rows (40 %), 0.5 rows/s, 2 min left, 3 rejected, "
            "input-bound (encoders busy 12 %)",
        ),
        (
            View("embedding", 9, 4, 0, None, Details(None, False, None, "encoders", 0.98)),
            "embedding: 4 rows, encoder-bound (busy 98 %)",
        ),
        (View("embedding", 9, 11, 0, None, Details(10, False)), "embedding: 11 of about 11 rows (100 %)"),
        (View("embedding", 9, 11, 0, None, Details(10)), "embedding: 10 of 10 rows (100 %)"),
    ],
)
def test_a_line(view: View, line: str) -> None:
    assert words.line(view) == line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min"), (151, "2 min 31 s"), (3600, "1 h"), (11_530, "3 h 12 min"), (187_300, "2 d 4 h")],
)
def test_a_duration(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_a_run_elsewhere_than_in_a_terminal_writes_no_control_codes(
    siglane: Siglane, folder: Path, model: Path
) -> None:
    process = siglane.start(*EMBED, "--model", model)
    out, err = process.communicate()
    assert process.returncode == 0
    assert out == ""
    assert "\x1b" not in err
    assert err.count("committed ") == 1


EMBEDDED = 573
"""of the 600 rows of the dataset"""
STEPS = {
    "score --signal caption_length": [("score", 600, 600), ("score caption_length", 600, 600)],
    "tag --labels labels --column kind": [("tag kind", 600, 600)],
    "dedup --method exact": [("reading rows", EMBEDDED, None), ("comparing rows", 0, None), ("dedup", 600, 600)],
    "dedup --method semantic": [("reading rows", EMBEDDED, None), ("comparing rows", EMBEDDED, EMBEDDED)],
    "dedup --method perceptual --input in": [("reading images", EMBEDDED, EMBEDDED), ("hashes", 600, 600)],
    "filter --min 0 --by original_width --output out": [("choosing the cut", 0, None), ("filtering", EMBEDDED, 600)],
    "filter --min 0 --by original_width --output out --output-format webdataset --input in": [
        ("filtering", EMBEDDED, 600),
        ("reading images", EMBEDDED, EMBEDDED),
    ],
    "verify --input in --sample 9": [
        ("checking schema", 0, None),
        ("checking rows", 600, 600),
        ("checking uids", 0, None),
        ("embedding again", 9, 9),
    ],
}


@pytest.mark.parametrize("arguments", STEPS)
def test_commands_count_the_rows_of_their_steps(
    arguments: str, tmp_path: Path, dataset: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(f"{undisturbed}.lance", tmp_path / "t.lance")
    (tmp_path / "in").symlink_to(dataset)
    (tmp_path / "labels").write_text("a dog\na cat\n")
    monkeypatch.chdir(tmp_path)
    ended = list[tuple[str, int, int | None]]()
    begin = Progress.begin

    def note() -> None:
        view = current.look()
        ended.append((view.step, view.rows, view.details.total))

    def noted(self: Progress, *arguments: object, **more: object) -> None:
        note()
        begin(self, *arguments, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "begin", noted)
        name, *options = arguments.split()
        assert import_module(f"jobs.{name}").main([*options, "--table", "t"]) == 0
        note()
    assert [step for step in STEPS[arguments] if step not in ended] == [], ended


def test_an_import_counts_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.eye(8, dtype=np.float32).reshape(-1)), 8)
    pq.write_table(pa.table({"image_vector": vectors, "caption": ["a"] * 8}), tmp_path / "vectors.parquet")
    monkeypatch.chdir(tmp_path)
    given = ["--input", "vectors.parquet", "--table", "t", "--layout", "columns"]
    columns = ["--image-vector-col", "image_vector", "--logit-scale", "100", "--logit-bias", "0"]
    assert import_module("jobs.import").main([*given, *columns]) == 0
    view = current.look()
    assert (view.step, view.rows, view.details.total) == ("importing", 8, 8)
