"""`--precision auto` on a cluster: its nodes are asked, where the table does not tell."""

from __future__ import annotations

from pathlib import Path

from pipeline.on_ray.options import RayOptions
from pipeline.on_ray.precision import fast_on_cluster
from siglip_core.precision import fast_precision
from tests.processes import Siglane
from tests.samples import write_photos


def test_the_nodes_of_a_cluster_say_what_they_compute_fast(ray_address: str) -> None:
    assert fast_on_cluster(RayOptions(address=ray_address)) == fast_precision("cpu")


def test_a_run_on_a_cluster_embeds_in_that_precision_and_then_in_the_tables(
    siglane: Siglane, tmp_path: Path, model: Path, ray_address: str
) -> None:
    write_photos(tmp_path / "in", 2)
    run = ("embed", "--input", "in", "--model", model, "--address", ray_address)
    assert siglane(*run, "--table", "t")["precision"] == fast_precision("cpu")
    for precision in ("float32", "bfloat16"):
        siglane("embed", "--input", "in", "--model", model, "--local", "--table", precision, "--precision", precision)
        assert siglane(*run, "--table", precision)["precision"] == precision
