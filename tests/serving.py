"""`siglane serve` in a process of its own, and a client of it."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from tests.processes import Siglane, wait_for


class Serving:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = wait_for(self._listening, "it does not serve", 120)
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def search(self, *terms: Mapping[str, Any], status: int = 200, **more: Any) -> Any:
        """The hits; of an error, its detail."""
        answer = self.client.post("/api/search", json={"terms": list(terms), **more})
        assert answer.status_code == status, answer.text
        return answer.json()["hits"] if status == 200 else detail(answer)

    def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        answer = self.client.get(path, params=parameters)
        assert answer.status_code == status, answer.text
        return answer.json() if status == 200 else detail(answer)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join(60)
        return code

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip("\n"))

    def _listening(self) -> str | None:
        assert self.process.poll() is None, self.said
        found = [re.search(r" on (http://\S+?)/; SIGTERM", line) for line in self.said]
        return next((match[1] for match in found if match), None)


def detail(answer: httpx.Response) -> str:
    """Of an error, which must be a problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert set(problem) == {"type", "title", "status", "detail"}
    return str(problem["detail"])


@contextmanager
def serving(
    siglane: Siglane, *options: object, environment: Mapping[str, str | None] | None = None
) -> Iterator[Serving]:
    """Serves until the block ends."""
    running = Serving(siglane.start("serve", "--port", 0, *options, environment=environment))
    try:
        yield running
    finally:
        running.client.close()
        if running.process.poll() is None:
            running.end()
