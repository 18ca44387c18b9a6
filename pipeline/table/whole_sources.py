"""Sources that are replaced go and come whole: their rows wait until all of them are staged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pipeline.table.commit import Staged


class WholeSources:
    """Holds back what is staged of sources that are to be replaced, until it makes up whole sources."""

    def __init__(self, replaced: Iterable[str]) -> None:
        self._unseen = set(replaced)
        self.waiting: list[Staged] = []
        """what is held back"""
        self._rows: defaultdict[str, int] = defaultdict(int)
        self._of: dict[str, int] = {}

    def released_by(self, staged: Staged) -> list[Staged]:
        """What may be committed now that this is staged too; in one commit, since its sources may share fragments."""
        if not staged.sources:
            return [staged]
        self.waiting.append(staged)
        for path, (rows, of) in staged.sources.items():
            self._unseen.discard(path)
            self._rows[path] += rows
            if of is not None:
                self._of[path] = max(of, self._of.get(path, 0))
        is_whole = any(self._rows[path] == self._of.get(path) for path in staged.sources)
        return self._released() if is_whole else []

    def rest(self) -> list[Staged]:
        """What is left when the run has come to its end: no more rows are to come of any source.

        A source that holds no sample any more has no fragment, and is told of all the same.
        """
        rest = [*self.waiting, *([Staged((), sources=dict.fromkeys(self._unseen, (0, 0)))] if self._unseen else [])]
        self.waiting, self._unseen = [], set()
        return rest

    def _released(self) -> list[Staged]:
        partial = {path for path, rows in self._rows.items() if rows != self._of.get(path)}
        # what shares a fragment with a source that is not whole waits for it too
        while more := self._beside(partial) - partial:
            partial |= more
        ready = [item for item in self.waiting if partial.isdisjoint(item.sources)]
        self.waiting = [item for item in self.waiting if not partial.isdisjoint(item.sources)]
        for path in {path for item in ready for path in item.sources}:
            del self._rows[path]
        return ready

    def _beside(self, sources: set[str]) -> set[str]:
        """All sources of which rows wait in one piece with rows of these."""
        pieces = [item.sources for item in self.waiting if not sources.isdisjoint(item.sources)]
        return {path for piece in pieces for path in piece}
