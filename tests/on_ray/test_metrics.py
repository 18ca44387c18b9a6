"""What a run tells to whoever watches it: Ray's metrics, for the dashboard of configs/grafana, and log lines."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.request
from pathlib import Path

from pipeline.on_ray.metrics import METRICS
from tests.processes import ROOT, Siglane
from tests.ray_clusters import started

COUNTED = ("rows_embedded", "rows_rejected", "rows_committed")
DASHBOARD = ROOT / "configs" / "grafana" / "siglane.json"


def queries() -> list[str]:
    """Of the panels of the dashboard, for all tables."""
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [target["expr"].replace("$table", ".*") for panel in panels for target in panel["targets"]]


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    asked = {name for query in queries() for name in re.findall(r"ray_siglane_(\w+)", query)}
    assert asked == set(METRICS)


def test_a_cluster_offers_the_metrics_of_a_run(siglane: Siglane, tmp_path: Path, dataset: Path, model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {"RAY_metrics_report_interval_ms": "500"}
    with started("--num-cpus=2", f"--metrics-export-port={port}", dashboard=True, environment=environment) as cluster:
        run = ("embed", "--input", dataset, "--table", "t", "--model", model, "--address", cluster.address)
        process = siglane.start(*run, "--commit-seconds", 0, "--batch-size", 4, "--log-format", "json", "--json")
        seen: dict[str, list[float]] = {}
        while process.poll() is None:
            for name, value in scraped(port):
                seen.setdefault(name, []).append(value)
            time.sleep(0.2)
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert set(seen) | {"encoders_busy"} == set(METRICS)  # the run may be too short to tell how busy they are
    assert all(min(values) >= 0 and max(values) <= 600 for name, values in seen.items() if name in COUNTED)
    assert seen["rows_committed"] == sorted(seen["rows_committed"])
    assert seen["rows_committed"][-1] > 0
    assert max(seen["bytes_written"]) > 0

    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    commits = [line for line in lines if line.get("event") == "commit"]
    assert len(commits) > 1
    assert sum(line["rows"] for line in commits) == commits[-1]["rows_in_run"] == json.loads(out)["read"] == 600
    assert sum(line["rejected"] for line in commits) == json.loads(out)["rejected"]
    assert all({"time", "level", "message"} <= set(line) for line in lines)


def scraped(port: int) -> list[tuple[str, float]]:
    """Names and values of the metrics that the node offers; none while it offers nothing yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return []
    found = re.findall(r'^ray_siglane_(\w+)\{.*table="t".*\} (\S+)$', text, re.MULTILINE)
    return [(name, float(value)) for name, value in found]
