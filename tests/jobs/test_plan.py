"""`siglane plan`: what a run would take, measured on a few rows, and the command that starts it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from jobs import options, plan_warnings
from jobs.embed import EmbedJob
from pipeline.embedding import forecast
from pipeline.embedding.forecast import SHARE_OF_PEAK
from pipeline.embedding.machines import Machine
from pipeline.embedding.reports import EMBED, READ, WRITE
from pipeline.embedding.trial import Trial
from pipeline.errors import UsageError
from siglip_core.variants import PUBLISHED
from tests.processes import Siglane
from tests.samples import jpeg, write_parquet, write_photos, write_tar
from tests.web import slow_server

SPEC = PUBLISHED["google/siglip-base-patch16-224"]
ON_TWO_CPUS = Trial(
    rows=100,
    rejected=0,
    device="cpu",
    cpus=2,
    seconds={READ: 0.004, EMBED: 0.1, WRITE: 0.001},
    bytes_per_row=3200.0,
    source_bytes_per_row=65_000.0,
)
ON_A_GPU = Trial(**{**vars(ON_TWO_CPUS), "device": "cuda", "seconds": {READ: 0.004, EMBED: 0.001, WRITE: 0.001}})


THROTTLED = Trial(**{**vars(ON_TWO_CPUS), "seconds": {READ: 0.04, EMBED: 0.001, WRITE: 0.001}, "waited": 0.036})


def test_a_run_is_measured_on_a_few_rows_and_nothing_is_written(siglane: Siglane, dataset: Path, model: Path) -> None:
    told = siglane("plan", "--input", dataset, "--model", model, "--rows", "64")
    assert (told["rows"], told["rows_are_exact"]) == (600, True)
    assert 64 <= told["sampled"] <= 80
    assert told["is_enough"]
    assert told["share_waited_for_input"] < 0.5
    assert (told["taken_by_other_processes"] is None) == (sys.platform != "linux")
    assert told["sampled_rejected"] > 0
    assert all(told["seconds_per_row"][stage] > 0 for stage in (READ, EMBED, WRITE))
    (here,) = told["forecasts"]
    assert here["hours"] == pytest.approx(600 / here["rows_per_second"] / 3600)
    assert 200 < told["table_bytes"] / 600 < 20_000
    assert list(siglane.folder.iterdir()) == []


def test_the_command_that_it_prints_embeds_with_the_same_options(siglane: Siglane, dataset: Path, model: Path) -> None:
    given = ["--input", dataset, "--model", model, "--no-captions", "--limit", "40", "--keep-cols", "image,caption"]
    told = siglane("plan", *given, "--table", "out/t", "--rows", "8")
    program, command, *words = shlex.split(told["command"])
    assert (program, command) == ("siglane", "embed")
    parsed, _ = options.parse(EmbedJob, "embed", "", words)
    wanted, _ = options.parse(EmbedJob, "embed", "", [*map(str, given), "--table", "out/t"])
    assert parsed == wanted


def test_only_what_is_left_is_planned(siglane: Siglane, dataset: Path, model: Path) -> None:
    options = ["--input", dataset, "--model", model, "--table", "t"]
    siglane("embed", *options, "--limit", "300", "--local")
    assert siglane("plan", *options, "--rows", "8")["rows"] == 300
    siglane("embed", *options, "--local")
    assert siglane("plan", *options, "--rows", "8") == {"rows": 0, "forecasts": []}


def test_rows_of_a_tar_are_counted(siglane: Siglane, model: Path) -> None:
    photos = [jpeg(number, (320, 240)) for number in range(60)]
    members = [
        (f"{number:04d}.{kind}", data)
        for number, photo in enumerate(photos)
        for kind, data in (("jpg", photo), ("txt", b"a photo"))
    ]
    write_tar(siglane.folder / "data" / "0.tar", members)
    told = siglane("plan", "--input", "data", "--model", model, "--rows", "8")
    assert (told["rows"], told["rows_are_exact"]) == (60, True)


def test_rows_of_a_list_are_counted(siglane: Siglane, model: Path) -> None:
    """Its bytes say nothing about the images that it names."""
    write_photos(siglane.folder / "in", 40)
    lines = [f'{{"image": "in/photo{number:04d}.jpg", "caption": "a photo"}}\n' for number in range(40)]
    (siglane.folder / "list.jsonl").write_text("".join(lines))
    assert siglane("plan", "--input", "list.jsonl", "--model", model, "--rows", "8")["rows"] == 40


@pytest.mark.parametrize("files", [1, 12])
def test_an_input_without_a_row_is_named(siglane: Siglane, model: Path, files: int) -> None:
    for file in range(files):
        write_parquet(siglane.folder / "data" / f"{file}.parquet", [], [])
    process = siglane.start("plan", "--input", "data", "--model", model)
    _, told = process.communicate(timeout=240)
    assert process.returncode == 0
    assert "data: it holds no row to embed" in told
    assert siglane("plan", "--input", "data", "--model", model) == {"rows": 0, "forecasts": []}


def test_the_rows_are_found_where_sampled_files_hold_none(siglane: Siglane, model: Path) -> None:
    for file in range(20):
        photos = [jpeg(number) for number in range(10)] if file == 17 else []
        write_parquet(siglane.folder / "data" / f"{file:02d}.parquet", photos, ["a photo"] * len(photos))
    told = siglane("plan", "--input", "data", "--model", model)
    assert (told["sampled"], told["is_enough"]) == (10, False)


def test_there_is_no_forecast_where_every_row_is_rejected(siglane: Siglane, model: Path) -> None:
    write_parquet(siglane.folder / "data" / "0.parquet", [b"no image"] * 40, ["a photo"] * 40)
    told = siglane("plan", "--input", "data", "--model", model, "--rows", "8")
    assert (told["sampled"], told["sampled_rejected"]) == (8, 8)
    assert (told["rows"], told["forecasts"], told["table_bytes"], told["is_enough"]) == (40, [], None, False)


def test_a_store_that_answers_slowly_is_told_from_work(siglane: Siglane, model: Path) -> None:
    write_photos(siglane.folder / "in", 24)
    with slow_server(siglane.folder / "in", seconds=0.1) as url:
        lines = [f'{{"image": "{url}/photo{number:04d}.jpg", "caption": "a photo"}}\n' for number in range(24)]
        (siglane.folder / "list.jsonl").write_text("".join(lines))
        given = ["--input", "list.jsonl", "--allow-uri", url, "--model", model, "--rows", "24"]
        told = siglane("plan", *given)
    (here,) = told["forecasts"]
    assert told["share_waited_for_input"] > 0.5
    assert here["rows_per_second"] == pytest.approx(1 / told["seconds_per_row"][READ])
    assert here["bound_by"] == "input"


def test_machines_are_named_with_their_time_and_cost(siglane: Siglane, dataset: Path, model: Path) -> None:
    Path(siglane.folder, "machines.yaml").write_text(
        "- {name: large, price_per_hour: 1.5, cpus: 64, count: 2}\n"
        "- {name: card, price_per_hour: 3, cpus: 8, gpus: 1, gpu_teraflops: 100}\n"
    )
    told = siglane("plan", "--input", dataset, "--model", model, "--rows", "8", "--machines", "machines.yaml")
    here, large, card = told["forecasts"]
    assert (here["cost"], large["machine"], card["machine"]) == (None, "2 x large", "card")
    assert (here["is_measured"], large["is_measured"], card["is_measured"]) == (True, False, False)
    assert large["cost"] == pytest.approx(2 * 1.5 * large["hours"])
    assert large["rows_per_second"] == pytest.approx(here["rows_per_second"] * 128 / told["cpus"])


def test_a_wrong_file_of_machines_is_refused(siglane: Siglane, dataset: Path, model: Path) -> None:
    Path(siglane.folder, "machines.yaml").write_text("- {name: large, cpus: 8}")
    line = siglane.fails("plan", "--input", dataset, "--model", model, "--machines", "machines.yaml", code=2)
    assert "--machines machines.yaml: machine 1 (large): price_per_hour is missing; known keys: " in line


def test_encoders_and_tasks_share_cpus() -> None:
    told = forecast.here(ON_TWO_CPUS, 1_000_000)
    assert told.rows_per_second == pytest.approx(2 / (0.004 + 0.001 + 2 * 0.1))
    assert told.bound_by == "encoders"
    assert told.hours == pytest.approx(1_000_000 / told.rows_per_second / 3600)


def test_beside_a_gpu_the_slower_one_of_cpus_and_gpu_sets_the_rate() -> None:
    told = forecast.here(ON_A_GPU, None)
    assert (told.rows_per_second, told.bound_by, told.hours) == (pytest.approx(2 / 0.005), "input", None)


def test_a_source_that_is_waited_for_answers_more_cpus_no_faster() -> None:
    """What it gave is all that is known of it."""
    large = Machine(name="large", price_per_hour=1.0, cpus=64, count=8)
    card = Machine(name="card", price_per_hour=1.0, cpus=64, gpus=1, gpu_teraflops=900.0)
    others = [forecast.on(machine, THROTTLED, SPEC, None) for machine in (large, card)]
    for told in (forecast.here(THROTTLED, None), *others):
        assert (told.rows_per_second, told.bound_by) == (pytest.approx(1 / 0.04), "input")


def test_waits_take_no_cpu_from_encoders() -> None:
    slow_encoder = Trial(**{**vars(THROTTLED), "seconds": {READ: 0.04, EMBED: 0.1, WRITE: 0.001}})
    told = forecast.here(slow_encoder, None)
    assert (told.rows_per_second, told.bound_by) == (pytest.approx(2 / (0.004 + 0.001 + 2 * 0.1)), "encoders")


def test_a_reader_that_waits_a_little_keeps_its_cpu() -> None:
    """More readers are answered at the same time."""
    a_little = Trial(**{**vars(ON_A_GPU), "waited": 0.001})
    assert forecast.here(a_little, None) == forecast.here(ON_A_GPU, None)


def test_what_makes_a_forecast_worth_less_is_said_before_it() -> None:
    assert list(plan_warnings.about(ON_TWO_CPUS, 256, 0.2)) == []
    busy = Trial(**{**vars(ON_TWO_CPUS), "taken_by_others": 0.6})
    assert [line[:34] for line in plan_warnings.about(busy, 256, 0.2)] == ["other processes took 60% of the ma"]
    waiting = list(plan_warnings.about(THROTTLED, 256, 0.2))
    assert [line[:44] for line in waiting] == ["reading waited for the input 90% of its time"]
    few = Trial(**{**vars(ON_TWO_CPUS), "rows": 20, "rejected": 5})
    assert [line[:18] for line in plan_warnings.about(few, 256, 0.2)] == ["the run would end ", "only 15 rows were "]
    none = Trial(**{**vars(ON_TWO_CPUS), "rows": 20, "rejected": 20})
    assert [line[:19] for line in plan_warnings.about(none, 8, 1.0)] == ["no row was embedded"]


def test_another_gpu_is_assumed_to_reach_a_share_of_its_stated_rate() -> None:
    machine = Machine(name="card", price_per_hour=2.0, cpus=64, gpus=2, gpu_teraflops=100.0)
    told = forecast.on(machine, ON_TWO_CPUS, SPEC, 3_600_000)
    pair = (SPEC.vision.gflops + SPEC.text.gflops) / 1e3
    assert told.rows_per_second == pytest.approx(2 * 100 * SHARE_OF_PEAK / pair)
    assert (told.bound_by, told.is_measured) == ("encoders", False)
    assert told.cost == pytest.approx(2.0 * 1000 / told.rows_per_second)


def test_cpus_cannot_be_foretold_from_a_gpu() -> None:
    with pytest.raises(UsageError, match="large has no GPU"):
        forecast.on(Machine(name="large", price_per_hour=1.0, cpus=64), ON_A_GPU, SPEC, None)


def test_the_text_tower_s_operations_are_those_of_its_products() -> None:
    text = SPEC.text
    block = 4 * text.width**2 + 2 * text.width * text.mlp
    products = text.depth * (2 * text.length * block + 4 * text.length**2 * text.width)
    assert text.gflops == pytest.approx((products + 2 * text.width * text.embedding_dim) / 1e9)
