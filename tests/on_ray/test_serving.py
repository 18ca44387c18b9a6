"""A table served by replicas on a cluster: they answer as one process does, also when one of them dies."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipeline import search
from pipeline.search import Hits
from tests.processes import Siglane, pids_of_session, wait_for
from tests.ray_clusters import RayCluster, free_ports
from tests.samples import jpeg, write_parquet
from tests.serving import Serving

TEXTS = [f"photo {number}" for number in range(12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    folder = tmp_path_factory.mktemp("serve")
    write_parquet(folder / "in.parquet", [jpeg(row) for row in range(40)], [f"photo {row}" for row in range(40)])
    Siglane(folder)(
        *("embed", "--input", "in.parquet", "--table", "t", "--model", model, "--local", "--precision", "float32")
    )
    return folder


@pytest.fixture
def served(folder: Path, ray_cluster: RayCluster) -> Iterator[Serving]:
    """Two replicas; the input and the table are named relative to the folder of the command."""
    (port,) = free_ports(1)
    options = ("--table", "t", "--input", "in.parquet", "--replicas", 2, "--address", ray_cluster.address)
    running = Serving(Siglane(folder).start("serve", *options, "--port", port))
    yield running
    running.client.close()
    assert running.end() == 0
    assert running.said[-1] == f"t: no longer served on {running.url}/"
    assert pids_of_session(ray_cluster.session, "ray::ServeReplica") == []


def same(found: list[dict], expected: Hits) -> bool:
    return [hit["uid"] for hit in found] == [hit.uid for hit in expected] and all(
        abs(hit["cosine"] - wanted.cosine) < 1e-5 for hit, wanted in zip(found, expected, strict=True)
    )


def test_replicas_answer_as_one_process_and_one_may_die(served: Serving, folder: Path, ray_cluster: RayCluster) -> None:
    expected = {text: search.open(str(folder / "t")).by_text(text, k=8) for text in TEXTS}
    for text in TEXTS:
        assert same(served.search({"text": text}, k=8), expected[text])
    uid = expected[TEXTS[0]][0].uid
    assert served.client.get(f"/api/rows/{uid}/thumbnail").headers["content-type"] == "image/jpeg"
    assert served.client.get("/").headers["content-type"].startswith("text/html")

    replicas = pids_of_session(ray_cluster.session, "ray::ServeReplica")
    assert len(replicas) == 2
    answers: list[bool | int] = []
    """of each request: whether the answer was right, or the status of an error"""
    ended = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=served.url, timeout=60, trust_env=False) as client:
            while not ended.is_set():
                for text in TEXTS:
                    answer = client.post("/api/search", json={"terms": [{"text": text}], "k": 8})
                    is_answer = answer.status_code == 200
                    answers.append(same(answer.json()["hits"], expected[text]) if is_answer else answer.status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(answers) > 200, "nothing is answered")
    os.kill(replicas[0], signal.SIGKILL)
    many = len(answers) + 1200
    wait_for(lambda: len(answers) > many, "nothing is answered any more", 120)
    new = wait_for(
        lambda: set(pids_of_session(ray_cluster.session, "ray::ServeReplica")) - set(replicas),
        "none is started anew",
        120,
    )
    ended.set()
    for thread in threads:
        thread.join()
    assert new
    errors = [answer for answer in answers if answer not in (True, False)]
    assert False not in answers
    assert len(errors) < len(answers) / 100, errors


def test_what_a_cluster_cannot_serve_is_named(folder: Path, ray_cluster: RayCluster) -> None:
    siglane = Siglane(folder)
    here = ("serve", "--address", ray_cluster.address, "--port", *free_ports(1))
    assert "has 2 CPUs" in siglane.fails(*here, "--table", "t", "--replicas", 9, code=2)
    assert "no table" in siglane.fails(*here, "--table", "absent", "--replicas", 1, code=1)
    assert "give --replicas too" in siglane.fails(*here, "--table", "t", code=2)
