"""`siglane train`: from scratch and from a checkpoint, on pairs of a folder, resumed after a kill."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import siglip_core
from jobs import filter, train  # noqa: A004
from tests.embedding import embed
from tests.processes import Siglane, kill_process_group, wait_for
from tests.samples import write_photos

SMALL = ["--batch-size", 8, "--warmup-steps", 2, "--save-every", 5]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = write_photos(tmp_path / "in", 24)
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "broken.txt").write_text("a caption")
    (folder / "bare.jpg").write_bytes((folder / "photo0000.jpg").read_bytes())
    return folder


def run_here(capfd: pytest.CaptureFixture[str], *run: object) -> dict[str, Any]:
    """The command in this process, which spares it its start; gives its summary."""
    capfd.readouterr()
    assert train.main([*map(str, run), "--json"]) == 0, capfd.readouterr().err
    summary: dict[str, Any] = json.loads(capfd.readouterr().out)
    return summary


def test_from_scratch_a_checkpoint_with_a_tokenizer_of_its_own(
    tmp_path: Path, photos: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sizes").mkdir()
    (tmp_path / "sizes" / "config.json").write_text((model / "config.json").read_text())
    sizes = ["--architecture", tmp_path / "sizes", "--steps", 40, *SMALL]
    summary = run_here(capfd, "--input", photos, "--output", tmp_path / "out", *sizes)
    assert (summary["photos"], summary["left_out"], summary["steps_in_this_run"]) == (24, 2, 40)
    logged = [json.loads(line) for line in (tmp_path / "out" / "training-log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in logged] == [1, 40]
    assert logged[-1]["loss"] < logged[0]["loss"]
    trained = siglip_core.load(tmp_path / "out")
    assert trained.encode_text(["a red square, number 0"]).shape == (1, trained.spec.embedding_dim)


def test_a_checkpoint_is_fine_tuned_with_its_own_tokenizer(
    tmp_path: Path, photos: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_here(capfd, "--input", photos, "--output", tmp_path / "out", "--model", model, "--steps", 10, *SMALL)
    assert (tmp_path / "out" / "spiece.model").read_bytes() == (model / "spiece.model").read_bytes()
    assert siglip_core.load(tmp_path / "out").weights_digest != siglip_core.load(model).weights_digest


def test_what_a_filter_keeps_is_trained_on_with_the_images_that_it_writes(
    tmp_path: Path, photos: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    embed(photos, tmp_path / "t", model, score=True)
    best = ["--table", str(tmp_path / "t"), "--top-fraction", "0.5", "--with-images", "--input", str(photos)]
    assert filter.main([*best, "--output", str(tmp_path / "kept")]) == 0
    run = ["--input", tmp_path / "kept", "--output", tmp_path / "out", "--model", model, "--steps", 5, *SMALL]
    summary = run_here(capfd, *run)
    assert (summary["photos"], summary["left_out"], summary["steps_in_this_run"]) == (12, 0, 5)
    assert siglip_core.load(tmp_path / "out").weights_digest != siglip_core.load(model).weights_digest


def assert_same_weights(one: Path, other: Path) -> None:
    ours, theirs = (safetensors.torch.load_file(folder / "model.safetensors") for folder in (one, other))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_killed_training_goes_on_and_ends_in_the_same_weights(
    siglane: Siglane, tmp_path: Path, photos: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = ["--input", photos, "--model", model, "--steps", 30, *SMALL]
    run_here(capfd, *run, "--output", tmp_path / "whole")
    process = siglane.start("train", *run, "--output", "killed")
    _kill_once_there_is(tmp_path / "killed" / "training-state.pt", process)
    assert run_here(capfd, *run, "--output", tmp_path / "killed")["steps_in_this_run"] < 30
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")


@pytest.fixture
def small_pico(tmp_path: Path) -> Path:
    """The architecture of siglip-pico, for what drawn scenes are made for, with towers of one small layer."""
    config = json.loads((files(siglip_core) / "bundled" / "siglip-pico" / "config.json").read_text())
    for tower in ("vision_config", "text_config"):
        config[tower] |= {"num_hidden_layers": 1, "intermediate_size": 32}
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "config.json").write_text(json.dumps(config))
    return tmp_path / "small"


def test_drawn_scenes_need_no_input_and_a_run_stopped_in_either_stage_ends_in_the_same_weights(
    tmp_path: Path, small_pico: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    scenes = ["--scenes", "--near-misses", 3, "--text-steps", 20, "--text-rate", 0.1, "--simple-steps", 10]
    run = [*scenes, "--architecture", small_pico, "--steps", 30, *SMALL]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run_here(capfd, *run, "--output", whole)["steps_in_this_run"] == 50
    logged = [json.loads(line) for line in (whole / "training-log.jsonl").read_text().splitlines()]
    assert [(record["stage"], record["step"]) for record in logged] == [
        ("captions", 1),
        ("captions", 20),
        ("pairs", 1),
        ("pairs", 30),
    ]
    shutil.copy(whole / "spiece.model", small_pico)  # to train it takes longer than all else, and gives it again

    for drawn, at, state in (("sample_captions", 12, "text-training-state.pt"), ("sample", 14, "training-state.pt")):
        with monkeypatch.context() as patched:
            patched.setattr(train, drawn, _stops_at(getattr(train, drawn), at))
            assert train.main([*map(str, run), "--output", str(stopped)]) == 130
        assert (stopped / state).exists()
    assert run_here(capfd, *run, "--output", stopped)["steps_in_this_run"] == 20
    assert_same_weights(whole, stopped)

    before = (stopped / "model.safetensors").read_bytes()
    assert train.main([*map(str, run), "--output", str(stopped), "--near-misses", "1"]) == 1
    assert "near_misses 3 there, 1 here" in capfd.readouterr().err
    assert (stopped / "model.safetensors").read_bytes() == before


def _stops_at(draw: Callable[..., Iterator[Any]], number: int) -> Callable[..., Iterator[Any]]:
    """Draws as before, up to the batch of that number, counted from 0."""

    def drawing(*arguments: Any, start: int, **options: Any) -> Iterator[Any]:
        for batch_number, batch in enumerate(draw(*arguments, start=start, **options), start):
            if batch_number == number:
                raise KeyboardInterrupt
            yield batch

    return drawing


def test_the_text_tower_learns_first_from_photos_with_two_captions(
    tmp_path: Path, photos: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = ["--input", photos, "--output", tmp_path / "out", "--model", model, "--steps", 5, "--text-steps", 5, *SMALL]
    assert train.main(list(map(str, run))) == 2
    assert "needs 8 photos (batch_size) with two captions; the input has 0" in capfd.readouterr().err
    for number in range(9):
        (photos / f"photo{number:04d}.txt").unlink()
        captions = {"caption": [f"a first caption, number {number}", f"a second caption, number {number}"]}
        (photos / f"photo{number:04d}.json").write_text(json.dumps(captions))
    assert run_here(capfd, *run)["steps_in_this_run"] == 10


def test_own_pairs_and_drawn_scenes_are_one_or_the_other(siglane: Siglane, photos: Path, model: Path) -> None:
    both = siglane.fails(
        "train", "--input", photos, "--scenes", "--model", model, "--output", "out", "--steps", 5, code=2
    )
    assert "give one of --input" in both
    neither = siglane.fails("train", "--model", model, "--output", "out", "--steps", 5, code=2)
    assert "give one of --input" in neither


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--input", "in", "--near-misses", 1], "--near-misses has no effect without --scenes"),
        (["--scenes", "--caption-col", "text"], "--caption-col has no effect with --scenes"),
        (["--scenes", "--near-misses", 2], "batch_size 8 is not a multiple of 3"),
        (["--scenes", "--simple-steps", 5], "simple_steps 5 must be below steps 5"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(siglane: Siglane, options: list[object], message: str) -> None:
    line = siglane.fails(
        "train", *options, "--architecture", "siglip-pico", "--output", "out", "--steps", 5, *SMALL, code=2
    )
    assert message in line


@pytest.mark.parametrize("pairs", [["--scenes"], ["--input", "in"]])
def test_printed_options_are_taken_again(tmp_path: Path, pairs: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    run = [*pairs, "--architecture", "siglip-pico", "--output", str(tmp_path / "out"), "--steps", "5", "--print-config"]
    assert train.main(run) == 0
    (tmp_path / "run.yaml").write_text(capfd.readouterr().out)
    assert train.main(["--config", str(tmp_path / "run.yaml"), "--print-config"]) == 0


def test_one_beginning_must_be_given(siglane: Siglane, photos: Path) -> None:
    line = siglane.fails("train", "--input", photos, "--output", "out", "--steps", 5, code=2)
    assert "give one of --model" in line


def test_fewer_photos_than_a_batch_are_refused(siglane: Siglane, photos: Path, model: Path) -> None:
    run = [
        "train",
        "--input",
        photos,
        "--output",
        "out",
        "--model",
        model,
        "--steps",
        5,
        "--warmup-steps",
        1,
        "--batch-size",
        64,
    ]
    assert "the input has only 24 photos" in siglane.fails(*run, code=2)


def _kill_once_there_is(state: Path, process: subprocess.Popen[str]) -> None:
    def there() -> bool:
        assert process.poll() is None, "the command ended before it could be killed"
        return state.exists()

    wait_for(there, f"no {state.name} is saved", 120)
    kill_process_group(process)
