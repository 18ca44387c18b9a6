"""The job server of a Ray cluster: takes commands, runs each beside the cluster's head, and keeps what it prints."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import requests
from ray._private import ray_constants
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.exceptions import AuthenticationError, RaySystemError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from pipeline.errors import LostError, SiglaneError, UsageError
from pipeline.on_ray import addresses, authentication

SECONDS_TO_STOP = 120
"""how long a job that is stopped may take to commit what is finished. By itself Ray kills it after three seconds."""
SECONDS_BETWEEN_LOOKS = 2.0
SILENT_SECONDS = 15.0
"""how long the server may give no answer: it can be restarted"""
REQUEST_SECONDS = 10.0
UPLOAD_SECONDS = 600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A submitted job, as the server knows it."""

    id: str
    status: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED"""
    is_over: bool
    exit_code: int | None
    """of its command; negative or above 128 where a signal ended it; None where it is not over, or nobody knows"""
    why: str
    """what Ray says about the status, in one line"""
    entrypoint: str


class JobServer:
    """The job server of one cluster."""

    def __init__(self, address: str | None) -> None:
        """Finds the server and asks it for its version.

        `address`: of the server, as http://HOST:8265, or of the cluster, as HOST:6379; None: RAY_API_SERVER_ADDRESS or
        RAY_ADDRESS, else a cluster on this machine.

        Raises:
            UsageError: the address is of another kind.
            SiglaneError: nothing answers there, or it refuses the token from here.
        """
        for name in ("job.sdk", "dashboard_sdk"):  # they tell of each upload
            logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.ERROR)
        names = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
        self.url = _url(address or next(filter(None, map(os.environ.get, names)), "auto"))
        os.environ[names[0]] = self.url  # Ray prefers this variable to an argument
        parts = urlsplit(self.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        addresses.touch(self.url, parts.hostname or "", port)
        with _told(self.url):
            self._client = _Client(self.url)

    def submit(self, entrypoint: str, package: Path, variables: Mapping[str, str]) -> str:
        """Starts a job; gives its id.

        Args:
            entrypoint: a command line for the shell of the cluster.
            package: a zip of Python packages, which become importable.
            variables: the environment of the job and of its workers.
        """
        stopping = {"RAY_JOB_STOP_WAIT_TIME_S": str(SECONDS_TO_STOP)}
        environment = {"working_dir": str(package), "env_vars": stopping | dict(variables)}
        with _told(self.url):
            return str(self._client.submit_job(entrypoint=entrypoint, runtime_env=environment))

    def look(self, job: str) -> Job:
        """
        Raises:
            SiglaneError: the server knows no such job, or does not answer.
        """
        with _told(self.url, job):
            return _job(job, self._client.get_job_info(job))

    def stop(self, job: str) -> bool:
        """Asks a job to stop, as SIGTERM does, and waits until it is over; False where it was over before."""
        with _told(self.url, job):
            if not self._client.stop_job(job):
                return False
        while not self._job_when_it_answers(job).is_over:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return True

    def follow(self, job: str) -> Iterator[str]:
        """What the job prints, from its start on, until it is over.

        Raises:
            LostError: the server is gone.
            SiglaneError: it knows no such job.
        """
        self.look(job)
        characters = 0
        while True:
            for text in self._tail(job, characters):
                characters += len(text)
                yield text
            if self._job_when_it_answers(job).is_over:
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _tail(self, job: str, skip: int) -> Iterator[str]:
        """What the job prints after so many characters, until the connection ends, or the server does not answer."""
        texts: queue.SimpleQueue[str | None] = queue.SimpleQueue()

        async def read() -> None:
            async for text in self._client.tail_job_logs(job):
                texts.put(text)

        def run() -> None:
            try:
                asyncio.run(read())
            except (RuntimeError, OSError, aiohttp.ClientError) as error:
                log.debug("%s", error)  # `follow` looks whether the server is there
            finally:
                texts.put(None)

        threading.Thread(target=run, name="job log", daemon=True).start()
        while True:
            try:
                text = texts.get(timeout=SECONDS_BETWEEN_LOOKS)
            except queue.Empty:
                self._job_when_it_answers(job)
                continue
            if text is None:
                return
            new, skip = text[skip:], max(0, skip - len(text))
            if new:
                yield new

    def _job_when_it_answers(self, job: str) -> Job:
        since = time.monotonic()
        while True:
            try:
                return self.look(job)
            except LostError:
                if time.monotonic() - since > SILENT_SECONDS:
                    raise
                time.sleep(SECONDS_BETWEEN_LOOKS)


class _Client(JobSubmissionClient):  # type: ignore[misc]
    """Ray's client, which by itself waits for an answer for ever."""

    def _do_request(self, method: str, endpoint: str, **more: Any) -> requests.Response:
        seconds = UPLOAD_SECONDS if more.get("data") else REQUEST_SECONDS
        answer: requests.Response = super()._do_request(method, endpoint, timeout=seconds, **more)
        return answer


@contextmanager
def _told(url: str, job: str = "") -> Iterator[None]:
    """Converts the errors of Ray's client in its block to ours."""
    try:
        yield
    except AuthenticationError as error:
        raise authentication.refused(url) from error
    except (requests.RequestException, ConnectionError) as error:
        raise LostError(f"Ray at {url}: the cluster's job server does not answer") from error
    except (RuntimeError, ValueError) as error:
        said = str(error).strip().splitlines()
        if job and "status code 404" in said[0]:
            raise SiglaneError(f"Ray at {url}: no job has the id {job}; `ray job list` shows all") from error
        raise SiglaneError(f"Ray at {url}: {' … '.join(dict.fromkeys((said[0], said[-1])))}") from error


def _job(job: str, details: JobDetails) -> Job:
    status, why = JobStatus(details.status), (details.message or "").strip().partition("\n")[0]
    return Job(job, status.value, status.is_terminal(), details.driver_exit_code, why, details.entrypoint)


def _only_one_here() -> str:
    found = sorted(addresses.clusters_here())
    if len(found) > 1:
        places = ", ".join(found)
        raise UsageError(f"Ray at auto: {len(found)} clusters run on this machine; give one as --address: {places}")
    return found[0]


def _url(address: str) -> str:
    """The URL of the job server of the cluster at this address."""
    if addresses.is_url(address):
        return address.rstrip("/")
    if address == "local" or address.startswith("ray://"):
        raise UsageError(
            f"Ray at {address}: a job is submitted to the address of a dashboard; give it as http://HOST:8265, or the "
            "cluster's own as HOST:6379"
        )
    place = _only_one_here() if address == "auto" else address
    try:
        addresses.reach(place)
    except addresses.IsJobServerError:
        return f"http://{place}"
    try:
        found = GcsClient(address=place).internal_kv_get(
            ray_constants.DASHBOARD_ADDRESS.encode(), ray_constants.KV_NAMESPACE_DASHBOARD, timeout=REQUEST_SECONDS
        )
    except RaySystemError as error:
        raise addresses.no_cluster(place, error) from error
    if not found:
        raise SiglaneError(
            f"Ray at {place}: the cluster has no job server; start its head with a dashboard (`ray start --head` with "
            "ray[default] installed has one)"
        )
    return f"http://{found.decode()}"
