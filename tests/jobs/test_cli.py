"""The command line as a user meets it: help, options, configuration files, errors and exit codes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from tests.processes import ROOT, Siglane
from tests.rows import rows_of
from tests.samples import write_parquet, write_photos


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from jobs.cli import main; main(['--help']); "
        "print(sorted({'torch', 'ray', 'lance', 'lancedb', 'pyarrow', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    *help_text, heavy = shown.splitlines()
    assert heavy == "[]"
    listed = {line.split()[0] for line in help_text if line.startswith("  ")}
    with_main = {path.stem for path in (ROOT / "jobs").glob("*.py") if "\ndef main(" in path.read_text("utf-8")}
    assert listed == with_main - {"cli"}


@pytest.mark.parametrize("name", ["embed", "score", "filter", "query"])
def test_help_of_a_command_tells_every_option(siglane: Siglane, name: str) -> None:
    out, err = siglane.start(name, "--help").communicate()
    assert err == ""
    assert "--table" in out
    assert "--config" in out


def test_help_of_a_command_has_headings_and_the_choices(siglane: Siglane) -> None:
    help_text, _ = siglane.start("embed", "--help").communicate()
    headings = [line.removesuffix(":") for line in help_text.splitlines() if re.fullmatch(r"[a-z ]+:", line)]
    assert headings == ["options", "input", "model", "rows", "output", "run", "cluster", "every command"]
    assert "--precision {auto,float32,bfloat16}" in help_text
    assert "--vector-dtype {float16,float32}" in help_text
    assert help_text.startswith("usage: siglane embed --input INPUT --model MODEL --table TABLE [options]\n")


@pytest.mark.parametrize("arguments", [["help", "embed"], ["embed", "-h"]])
def test_help_of_a_command_in_other_words(siglane: Siglane, arguments: list[str]) -> None:
    shown = siglane.start(*arguments).communicate()[0]
    assert shown == siglane.start("embed", "--help").communicate()[0]


def test_the_version_is_that_of_the_package(siglane: Siglane) -> None:
    process = siglane.start("--version")
    assert process.communicate() == (f"siglane {version('siglane')}\n", "")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["embd"], "no command 'embd'; did you mean 'embed'? `siglane --help` lists the commands"),
        (["help", "embd"], "no command 'embd'; did you mean 'embed'? `siglane --help` lists the commands"),
        (["ls"], "no command 'ls'; `siglane --help` lists the commands"),
        (["--json", "embed"], "write the command before --json: `siglane COMMAND --json …`"),
    ],
)
def test_an_unknown_command_is_refused_with_those_near_it(siglane: Siglane, typed: list[str], said: str) -> None:
    assert said in siglane.fails(*typed, code=2)


def test_a_mistyped_config_key_is_named_with_its_nearest_match(siglane: Siglane, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("input: in\ntable: t\nmodel: m\nbatch_sise: 3\n")
    line = siglane.fails("embed", "--config", "job.yaml", code=2)
    assert "config job.yaml: unknown key 'batch_sise'; did you mean 'batch_size'? `siglane embed --help` lists" in line


@pytest.mark.parametrize(
    ("command", "option", "near"),
    [
        ("embed", "--batch-sise", "'--batch-size'"),
        ("embed", "--gpus", "'--num-gpus'"),
        ("filter", "--format", "'--input-format' or '--output-format'"),
        ("query", "-n", None),
    ],
)
def test_a_mistyped_option_is_named_with_those_near_it(
    siglane: Siglane, command: str, option: str, near: str | None
) -> None:
    line = siglane.fails(command, option, 3, code=2)
    guess = f"did you mean {near}? " if near else ""
    assert line.endswith(f"unknown option '{option}'; {guess}`siglane {command} --help` lists all")


def test_a_value_without_its_option_is_refused(siglane: Siglane) -> None:
    assert "'photos' belongs to no option" in siglane.fails("embed", "photos", code=2)


def test_an_option_without_its_value_is_one_line(siglane: Siglane) -> None:
    assert "--input: expected one argument" in siglane.fails("embed", "--input", code=2)


def test_options_that_contradict_each_other_are_refused(siglane: Siglane) -> None:
    run = ["embed", "--input", "in", "--table", "t", "--model", "m", "--local"]
    assert "--local runs without Ray" in siglane.fails(*run, "--address", "127.0.0.1:1", code=2)


def test_a_fixed_state_is_not_scored(siglane: Siglane) -> None:
    assert "a fixed version cannot be changed" in siglane.fails("score", "--table", "t@1", code=2)


def test_a_table_below_a_file_is_refused(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    (tmp_path / "file").write_text("x")
    run = ["embed", "--input", "in", "--model", model, "--local"]
    assert "file: Not a directory; make the folder writable" in siglane.fails(*run, "--table", "file/t", code=2)


def test_a_filter_output_that_is_no_local_folder_is_refused(siglane: Siglane, tmp_path: Path) -> None:
    line = siglane.fails("filter", "--table", "t", "--output", "s3://bucket/kept", "--min", 0, code=2)
    assert "--output: " in line
    assert "must be a local folder" in line
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_value_in_a_config_is_named(siglane: Siglane, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("input: in\ntable: t\nmodel: m\nbatch_size: none\n")
    assert "config job.yaml: batch_size: " in siglane.fails("embed", "--config", "job.yaml", code=2)


def test_a_missing_option_is_named(siglane: Siglane) -> None:
    line = siglane.fails("embed", "--input", "in", code=2)
    assert "--model is required" in line
    assert "--table is required" in line


def test_a_config_that_is_not_there_is_named(siglane: Siglane) -> None:
    assert "config job.yaml: cannot be read" in siglane.fails("embed", "--config", "job.yaml", code=2)


def test_the_command_line_wins_over_the_config_and_the_result_can_be_shown(siglane: Siglane, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("input: in\ntable: t\nmodel: m\nbatch_size: 3\nkeep_cols: [a, b]\n")
    process = siglane.start("embed", "--config", "job.yaml", "--batch-size", "5", "--print-config")
    shown = yaml.safe_load(process.communicate()[0])
    assert process.returncode == 0
    assert (shown["batch_size"], shown["keep_cols"], shown["local"]) == (5, ["a", "b"], False)


@pytest.mark.parametrize(("command", "name"), [("embed", "embed"), ("filter", "filter"), ("train", "siglip-pico")])
def test_bundled_configs_hold_known_keys_alone(siglane: Siglane, command: str, name: str) -> None:
    output = ["--output", "out"] if command == "train" else []
    process = siglane.start(command, "--config", ROOT / "configs" / f"{name}.yaml", *output, "--print-config")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert set(yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())) <= set(yaml.safe_load(out))


def test_an_input_that_is_not_there(siglane: Siglane, model: Path) -> None:
    line = siglane.fails("embed", "--input", "nowhere", "--table", "db/t", "--model", model, code=1)
    assert "input nowhere: no such file or folder; check --input" in line


def test_a_model_that_is_not_there(siglane: Siglane, tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 1)
    line = siglane.fails("embed", "--input", "in", "--table", "db/t", "--model", "nowhere", code=1)
    assert "nowhere" in line


def test_a_parquet_without_the_named_column(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in.parquet", [b"x"], ["a"])
    line = siglane.fails(
        "embed", "--input", "in.parquet", "--table", "db/t", "--model", model, "--caption-col", "txt", code=1
    )
    assert "in.parquet: no column 'txt'; it has image, caption; name one with --caption-col" in line


def test_a_table_of_another_model(siglane: Siglane, tmp_path: Path, model: Path, other_model: Path) -> None:
    write_photos(tmp_path / "in", 2)
    run = ["embed", "--input", "in", "--table", "db/t", "--local", "--model"]
    siglane(*run, model)
    line = siglane.fails(*run[:-2], "--model", other_model, code=1)  # by Ray: refused before Ray starts
    assert "was made with weights" in line
    assert "another --table" in line


def test_too_many_rejects_end_with_code_3_after_the_work_is_done(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 3)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"")
    (tmp_path / "in" / "broken.txt").write_text("a caption")
    run = ["embed", "--input", "in", "--table", "db/t", "--local", "--model", model]
    summary = siglane(*run, code=3)
    assert (summary["read"], summary["success"], summary["rejected"]) == (4, 3, 1)
    assert summary["rejected_by_reason"] == {"decode": 1}
    assert len(rows_of(tmp_path / "db" / "t")) == 4
    assert siglane(*run)["skipped"] == 4


def test_embed_score_filter_query_from_end_to_end(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 20)
    embedded = siglane("embed", "--input", "in", "--table", "db/t", "--model", model, "--local")
    assert (embedded["read"], embedded["success"], embedded["rejected"], embedded["skipped"]) == (20, 20, 0, 0)
    assert siglane("score", "--table", "db/t")["scored"] == 20
    kept = siglane("filter", "--table", "db/t", "--output", "out", "--by", "logit", "--top-fraction", "0.3")
    assert (kept["rows"], kept["kept"], kept["by"], kept["mismatch_fraction"]) == (20, 6, "logit", None)
    found = siglane("query", "--table", "db/t", "--text", "a red square", "-k", 3)["results"]
    assert [set(hit) for hit in found] == [
        {"uid", "cosine", "logit", "probability", "caption", "source", "key", "captions"},
    ] * 3
    assert (
        siglane("query", "--table", "db/t", "--uid", found[0]["uid"], "-k", 1)["results"][0]["uid"] == found[0]["uid"]
    )
    assert siglane("query", "--table", "db/t", "--image", "in/photo0003.jpg", "-k", 1)["results"][0]["logit"] is None


@pytest.mark.parametrize(
    "wrong",
    [[], ["--min", "0", "--top-fraction", "0.5"], ["--top-fraction", "1.5"], ["--min", "nan", "--top-fraction", "2"]],
)
def test_a_filter_without_one_cut_is_refused(siglane: Siglane, wrong: list[str]) -> None:
    line = siglane.fails("filter", "--table", "db/t", "--output", "out", *wrong, code=2)
    assert "top-fraction" in line


def test_sigterm_keeps_what_is_finished_and_says_how_to_go_on(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 800)
    run = ["embed", "--input", "in", "--table", "db/t", "--model", model, "--local", "--commit-seconds", "0"]
    process = siglane.start(*run)
    while not (tmp_path / "db" / "t.lance" / "_versions").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to continue" in err
    first = len(rows_of(tmp_path / "db" / "t", ["source", "source_row"]))
    assert 0 < first < 800
    summary = siglane(*run)
    assert (summary["skipped"], summary["read"]) == (first, 800 - first)
