"""Ray clusters that tests start, each a head in a session of its own, on loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RayCluster:
    address: str
    jobs: str
    """URL of its job server"""
    session: int
    """of its processes"""

    def kill(self) -> None:
        """Ends all processes of its head at once, as the loss of its machine does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.session, signal.SIGKILL)


@contextmanager
def started(
    *options: str, dashboard: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator[RayCluster]:
    """A head with these options of `ray start`; its job server only with `dashboard`."""
    port, dashboard_port, agent = free_ports(3)
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *(f"--port={port}", f"--dashboard-port={dashboard_port}", "--dashboard-host=127.0.0.1"),
        *("--node-ip-address=127.0.0.1", "--object-store-memory=500000000", "--disable-usage-stats"),
        *(f"--include-dashboard={str(dashboard).lower()}", f"--dashboard-agent-listen-port={agent}"),
        *options,
    ]
    # jobs are started as `python …`, which must be this one
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = os.environ | {"PATH": path} | dict(environment or {})
    process = subprocess.Popen(command, start_new_session=True, env=variables, stdout=subprocess.DEVNULL)
    cluster = RayCluster(f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard_port}", process.pid)
    try:
        if dashboard:
            _wait_for_job_server(process, cluster, variables)
        else:
            _wait_for_head(process, cluster, variables)
        yield cluster
    finally:
        # At once: asked to stop, a Ray node waits for jobs to drain, and those of these tests were killed.
        cluster.kill()
        process.wait()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def _wait_for_head(process: subprocess.Popen[bytes], cluster: RayCluster, variables: Mapping[str, str]) -> None:
    """Waits until the node of the head takes work: it registers itself some time after the head answers."""
    import ray

    deadline = time.monotonic() + 90
    code = "import sys, ray; ray.init(sys.argv[1], logging_level='ERROR'); assert ray.nodes()"
    look = [sys.executable, "-c", code, cluster.address]
    while subprocess.run(look, check=False, capture_output=True, env=variables, timeout=90).returncode:
        assert process.poll() is None, "the Ray cluster of the tests did not start"
        assert time.monotonic() < deadline, f"Ray {ray.__version__} does not answer"


def _wait_for_job_server(process: subprocess.Popen[bytes], cluster: RayCluster, variables: Mapping[str, str]) -> None:
    from ray.job_submission import JobSubmissionClient

    token = variables.get("RAY_AUTH_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else None
    deadline = time.monotonic() + 90
    while True:
        assert process.poll() is None, "the Ray cluster of the tests did not start"
        try:
            # a node's agent, which starts the jobs, comes up after the server that takes them
            JobSubmissionClient(cluster.jobs, headers=headers).submit_job(entrypoint="true")
        except (ConnectionError, RuntimeError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return
