"""Everything behind the app: the table, its model, and the images of its rows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline import table
from pipeline.search import Search
from pipeline.serving.finding import Finder
from pipeline.serving.guard import Token
from pipeline.serving.limits import Limits
from pipeline.serving.metrics import Metrics
from pipeline.serving.pictures import Pictures
from pipeline.serving.snapshots import Following
from pipeline.serving.tower import Tower
from pipeline.sources import SourceOptions
from pipeline.table import Table

log = logging.getLogger(__name__)

T = TypeVar("T")

_READERS = 16
"""threads that read rows and facts; many of them may wait for one that computes"""


@dataclass(frozen=True)
class Served:
    """What to serve."""

    table: str
    """DATABASE/NAME, with @TAG or @VERSION for one version"""
    model: str | None = None
    """the model's folder, if it has moved since the table was made"""
    source: SourceOptions | None = None
    """the input that the table was made from, to show images that the table does not store"""
    limits: Limits = field(default_factory=Limits)
    token: str | None = field(default=None, repr=False)
    """the secret that clients must give; None: anyone who reaches the service may ask"""
    hosts: tuple[str, ...] | None = None
    """names by which clients may ask for the service; None for any"""


class Service:
    def __init__(self, served: Served) -> None:
        """Opens the table, loads the model, lists the input.

        Raises:
            SiglaneError, siglip_core.SiglipError: one of them cannot be used.
        """
        self.served, self.limits, self.token = served, served.limits, Token(served.token)
        self.metrics = Metrics()
        self.following = Following(table.parse(served.table))
        newest = self.following.newest()
        self.metrics.version.set_function(lambda: self.following.version)
        waiting = self.limits.waiting
        self.tower = Tower(served.model, newest.identity, self.limits, self.metrics.encoded.observe)
        self.finder = Finder(
            self.following, Search(newest, served.model), self.tower, waiting, self.metrics.searched.observe
        )
        self.pictures = Pictures(self.following, served.source, waiting)
        self._readers = ThreadPoolExecutor(_READERS, "read")

    async def run(self, work: Callable[[], T]) -> T:
        """Runs something that waits for files or computes, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def read(self, work: Callable[[Table], T]) -> T:
        """`Following.read`, in a thread."""
        return await self.run(lambda: self.following.read(work))

    def close(self) -> None:
        """Answers what has been asked, then ends all threads."""
        self.finder.close()
        self.tower.close()
        self.pictures.close()
        self._readers.shutdown()
