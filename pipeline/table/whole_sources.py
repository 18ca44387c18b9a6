"""Replaced sources are committed complete: their rows wait until all rows of the source are staged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pipeline.table.commit import Staged


class WholeSources:
    """Holds back the staged rows of sources to be replaced, until the sources are complete."""

    def __init__(self, replaced: Iterable[str]) -> None:
        self._unseen = set(replaced)
        self.waiting: list[Staged] = []
        """staged rows that are held back"""
        self._rows: defaultdict[str, int] = defaultdict(int)
        self._of: dict[str, int] = {}

    def released_by(self, staged: Staged) -> list[Staged]:
        """What may be committed after `staged`: all in one commit, because the sources may share fragments."""
        if not staged.sources:
            return [staged]
        self.waiting.append(staged)
        for path, (rows, of) in staged.sources.items():
            self._unseen.discard(path)
            self._rows[path] += rows
            if of is not None:
                self._of[path] = max(of, self._of.get(path, 0))
        is_complete = any(self._rows[path] == self._of.get(path) for path in staged.sources)
        return self._released() if is_complete else []

    def rest(self) -> list[Staged]:
        """What is still held back at the end of the run, when no source has more rows to stage.

        A source that has become empty has no fragment. It is still included, so that its old rows are deleted.
        """
        rest = [*self.waiting, *([Staged((), sources=dict.fromkeys(self._unseen, (0, 0)))] if self._unseen else [])]
        self.waiting, self._unseen = [], set()
        return rest

    def _released(self) -> list[Staged]:
        partial = {path for path, rows in self._rows.items() if rows != self._of.get(path)}
        # a source that shares a fragment with an incomplete source waits for it too
        while more := self._beside(partial) - partial:
            partial |= more
        ready = [item for item in self.waiting if partial.isdisjoint(item.sources)]
        self.waiting = [item for item in self.waiting if not partial.isdisjoint(item.sources)]
        for path in {path for item in ready for path in item.sources}:
            del self._rows[path]
        return ready

    def _beside(self, sources: set[str]) -> set[str]:
        """All sources whose waiting rows were staged together with rows of these sources."""
        pieces = [item.sources for item in self.waiting if not sources.isdisjoint(item.sources)]
        return {path for piece in pieces for path in piece}
