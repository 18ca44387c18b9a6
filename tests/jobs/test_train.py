"""`siglane train`: from scratch and from a checkpoint, on pairs of a folder, resumed after a kill."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import safetensors.torch
import torch

import siglip_core
from jobs import train
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


def test_from_scratch_a_checkpoint_with_a_tokenizer_of_its_own(
    siglane: Siglane, tmp_path: Path, photos: Path, model: Path
) -> None:
    (tmp_path / "sizes").mkdir()
    (tmp_path / "sizes" / "config.json").write_text((model / "config.json").read_text())
    summary = siglane("train", "--input", photos, "--output", "out", "--architecture", "sizes", "--steps", 40, *SMALL)
    assert (summary["photos"], summary["left_out"], summary["steps_in_this_run"]) == (24, 2, 40)
    logged = [json.loads(line) for line in (tmp_path / "out" / "training-log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in logged] == [1, 40]
    assert logged[-1]["loss"] < logged[0]["loss"]
    trained = siglip_core.load(tmp_path / "out")
    assert trained.encode_text(["a red square, number 0"]).shape == (1, trained.spec.embedding_dim)


def test_a_checkpoint_is_fine_tuned_with_its_own_tokenizer(
    siglane: Siglane, tmp_path: Path, photos: Path, model: Path
) -> None:
    siglane("train", "--input", photos, "--output", "out", "--model", model, "--steps", 10, *SMALL)
    assert (tmp_path / "out" / "spiece.model").read_bytes() == (model / "spiece.model").read_bytes()
    assert siglip_core.load(tmp_path / "out").weights_digest != siglip_core.load(model).weights_digest


def test_what_a_filter_keeps_is_trained_on_with_the_images_that_it_writes(
    siglane: Siglane, tmp_path: Path, photos: Path, model: Path
) -> None:
    siglane("embed", "--input", photos, "--table", "t", "--model", model, "--score", "--local")
    with_images = ["--with-images", "--input", photos]
    assert siglane("filter", "--table", "t", "--top-fraction", 0.5, *with_images, "--output", "kept")["kept"] == 12
    summary = siglane("train", "--input", "kept", "--output", "out", "--model", model, "--steps", 5, *SMALL)
    assert (summary["photos"], summary["left_out"], summary["steps_in_this_run"]) == (12, 0, 5)
    assert siglip_core.load(tmp_path / "out").weights_digest != siglip_core.load(model).weights_digest


def test_a_killed_training_goes_on_and_ends_in_the_same_weights(
    siglane: Siglane, tmp_path: Path, photos: Path, model: Path
) -> None:
    run = ["train", "--input", photos, "--model", model, "--steps", 30, *SMALL]
    siglane(*run, "--output", "whole")
    process = siglane.start(*run, "--output", "killed")
    _kill_once_there_is(tmp_path / "killed" / "training-state.pt", process)
    assert siglane(*run, "--output", "killed")["steps_in_this_run"] < 30
    whole, killed = (safetensors.torch.load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_drawn_scenes_need_no_input_and_a_killed_run_ends_in_the_same_weights(
    siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    scenes = ["--scenes", "--near-misses", 3, "--text-steps", 20, "--text-rate", 0.1, "--simple-steps", 10]
    run = ["train", *scenes, "--architecture", "siglip-pico", "--steps", 30, *SMALL]
    summary = siglane(*run, "--output", "whole")
    assert summary["steps_in_this_run"] == 50
    logged = [json.loads(line) for line in (tmp_path / "whole" / "training-log.jsonl").read_text().splitlines()]
    assert [(record["stage"], record["step"]) for record in logged] == [
        ("captions", 1),
        ("captions", 20),
        ("pairs", 1),
        ("pairs", 30),
    ]
    for state in ("text-training-state.pt", "training-state.pt"):
        process = siglane.start(*run, "--output", "killed")
        _kill_once_there_is(tmp_path / "killed" / state, process)
    assert siglane(*run, "--output", "killed")["steps_in_this_run"] < 30
    whole, killed = (safetensors.torch.load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)

    changed = siglane.fails(*run, "--output", "killed", "--near-misses", 1, code=1)
    assert "near_misses 3 there, 1 here" in changed
    unchanged = safetensors.torch.load_file(tmp_path / "killed" / "model.safetensors")
    assert all(torch.equal(unchanged[name], killed[name]) for name in killed)


def test_the_text_tower_learns_first_from_photos_with_two_captions(
    siglane: Siglane, tmp_path: Path, photos: Path, model: Path
) -> None:
    run = ["train", "--input", photos, "--output", "out", "--model", model, "--steps", 5, "--text-steps", 5, *SMALL]
    assert "needs 8 photos (batch_size) with two captions; the input has 0" in siglane.fails(*run, code=2)
    for number in range(9):
        (photos / f"photo{number:04d}.txt").unlink()
        captions = {"caption": [f"a first caption, number {number}", f"a second caption, number {number}"]}
        (photos / f"photo{number:04d}.json").write_text(json.dumps(captions))
    assert siglane(*run)["steps_in_this_run"] == 10


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
