"""The file of machines: what it holds, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.embedding.machines import Machine, read_machines
from pipeline.errors import UsageError

FIRST = "- {name: small, price_per_hour: 1, cpus: 4}\n"


def test_machines_are_read_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "machines.yaml"
    file.write_text(FIRST + "- {name: card, price_per_hour: 2.5, cpus: 8, gpus: 1, gpu_teraflops: 100, count: 2}\n")
    small = Machine(name="small", price_per_hour=1.0, cpus=4)
    card = Machine(name="card", price_per_hour=2.5, cpus=8, gpus=1, gpu_teraflops=100.0, count=2)
    assert read_machines(str(file)) == [small, card]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (FIRST + "- {name: large, cpus: 8}", "machine 2 (large): price_per_hour is missing; "),
        (FIRST + "- {price_per_hour: 1, cpus: 8}", "machine 2: name is missing; "),
        ("- {name: a, price_per_hour: 1, cpus: 4, gpu: 1}", "machine 1 (a): unknown key 'gpu'; "),
        ("- {name: a, cpus: 4, gpu: 1}", "machine 1 (a): price_per_hour is missing; machine 1 (a): unknown key 'gpu'"),
        ("- {name: a, gpu: 1}", "; known keys: name, price_per_hour, cpus, gpus, gpu_teraflops, count; required: "),
        ("- {name: a, gpu: 1}", "; required: name, price_per_hour, cpus"),
        ("- {name: a, price_per_hour: 1, cpus: 0}", "machine 1 (a): cpus: Input should be greater than or equal to 1"),
        ("- {name: a, price_per_hour: .inf, cpus: 4}", "machine 1 (a): price_per_hour: "),
        ("- {name: a, price_per_hour: 1, cpus: 4, gpus: 1}", "machine 1 (a): has GPUs, but no gpu_teraflops"),
        ("- large", "machine 1: needs keys with values, not 'large'"),
        ("name: a", "needs a list of machines, not {'name': 'a'}"),
        ("", "needs a list of machines, not None"),
        ("[]", "no machine"),
        ("- {", "give a YAML file"),
    ],
)
def test_a_wrong_file_names_the_machine_by_its_place_and_name(tmp_path: Path, content: str, named: str) -> None:
    file = tmp_path / "machines.yaml"
    file.write_text(content)
    with pytest.raises(UsageError) as refused:
        read_machines(str(file))
    assert str(refused.value).startswith(f"--machines {file}: ")
    assert named in str(refused.value)
