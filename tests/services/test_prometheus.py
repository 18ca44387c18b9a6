"""A real Prometheus scrapes a run: every query of the dashboard returns data."""

from __future__ import annotations

import json
import shutil
import socket
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.on_ray.test_metrics import queries
from tests.processes import Siglane, start, wait_for
from tests.ray_clusters import started
from tests.samples import jpeg, write_parquet


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def _returns_data(url: str, query: str) -> bool:
    with urllib.request.urlopen(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}") as answer:
        found = json.load(answer)["data"]["result"]
    return any(item["value"][1] != "NaN" for item in found)


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Debian's package prometheus is not installed")
def test_every_query_of_the_dashboard_returns_data(siglane: Siglane, tmp_path: Path) -> None:
    for file in range(200):  # far more than is needed: the run is ended once all is seen
        images = [jpeg(number % 50) if number % 40 else b"no image" for number in range(400)]
        write_parquet(tmp_path / "in" / f"{file}.parquet", images, ["a caption"] * 400, row_group_size=100)
    metrics, port = _free_port(), _free_port()
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: ray, static_configs: [{{targets: ['127.0.0.1:{metrics}']}}]}}]\n"
    )
    start(
        *("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"),
        f"--web.listen-address=127.0.0.1:{port}",
        folder=tmp_path,
    )
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: _is_ready(url), "Prometheus does not start")
    environment = {"RAY_metrics_report_interval_ms": "1000"}
    with started(
        "--num-cpus=2", f"--metrics-export-port={metrics}", dashboard=True, environment=environment
    ) as cluster:
        run = ("embed", "--input", "in", "--table", "t", "--model", "siglip-pico", "--commit-seconds", 1)
        process = siglane.start(*run, "--address", cluster.address)
        left = set(queries())
        while left and process.poll() is None:
            left = {query for query in left if not _returns_data(url, query)}
            time.sleep(0.5)
        process.terminate()
        _, err = process.communicate()
    assert left == set(), err
    assert process.returncode == 130, err


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready"):
            return True
    except OSError:
        return False
