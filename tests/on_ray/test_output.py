"""Lines of Ray's own in the output of a run: what workers say is shown, and nothing that reads as a fault."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.processes import ROOT, start
from tests.samples import write_photos

# `siglane embed`, whose encoder starts another actor in a way that Ray's C++ part calls an error, and waits until the
# test has seen that line.
WITH_AN_ERROR_OF_RAY = """
import sys
import time
from dataclasses import replace
from pathlib import Path

import ray

import jobs.cli
from pipeline.embedding import flow
from pipeline.stages.embed import Embed

seen, *arguments = sys.argv[1:]
embed_stages = flow.embed_stages


class Another:
    def __init__(self, argument):
        pass


def load(settings, device):
    ray.remote(num_cpus=0, max_restarts=1)(Another).remote(ray.put("an argument in the object store"))
    while not Path(seen).exists():
        time.sleep(0.05)
    return Embed(settings, device)


def with_an_error_of_ray(plan):
    read, model, write = embed_stages(plan)
    return [read, replace(model, load=load), write]


flow.embed_stages = with_an_error_of_ray
sys.exit(jobs.cli.main(arguments))
"""


def test_an_error_line_of_a_worker_is_shown_and_none_about_the_restarts_of_encoders(
    tmp_path: Path, model: Path
) -> None:
    write_photos(tmp_path / "in", 3)
    run = ["embed", "--input", "in", "--table", "t", "--model", model]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = WITH_AN_ERROR_OF_RAY
    process = start(sys.executable, "-c", code, tmp_path / "seen", *run, folder=tmp_path, environment=environment)
    assert process.stderr
    lines = list[str]()
    for line in process.stderr:
        lines.append(line)
        if "with class name: 'Another'" in line:
            (tmp_path / "seen").touch()
    assert process.wait(timeout=60) == 0, "".join(lines)
    errors = [line for line in lines if "max_restarts > 0" in line]
    assert len(errors) == 1, "".join(lines)
    assert "pid=" in errors[0]
    assert "'Another'" in errors[0]
