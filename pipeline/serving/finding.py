"""Answers searches: the model encodes what is looked for, then the table is searched, for many requests at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline import search
from pipeline.errors import UsageError
from pipeline.search import Hits, Query, Search
from pipeline.search.near_names import near_names
from pipeline.serving.batching import Batcher
from pipeline.serving.conditions import to_sql
from pipeline.serving.json_values import showable
from pipeline.serving.snapshots import Following
from pipeline.serving.tower import Tower
from pipeline.table import Table

MOST_AT_ONCE = 32
"""searches of one call"""
THREADS = 2
"""that search; Lance uses all CPUs in each"""


@dataclass(frozen=True)
class Term:
    """One of `text`, `image` and `uid` is given."""

    text: str | None = None
    image: bytes | None = None
    uid: str | None = None
    vector: Literal["image", "text"] = "image"
    """which vector of the row `uid`"""
    weight: float = 1.0


@dataclass(frozen=True)
class Options:
    k: int
    offset: int
    where: str | None
    """a condition of `conditions`"""
    columns: tuple[str, ...]
    distinct: Literal["image"] | None
    against: Literal["image", "text"]
    min_probability: float | None
    words: str | None = None
    """what captions must have, or with `hybrid`, what they are ranked by too"""
    hybrid: bool = False
    exact: bool = False


@dataclass(frozen=True)
class Found:
    version: int
    """of the table, when the search began"""
    hits: Hits


class Finder:
    def __init__(
        self,
        following: Following,
        searched: Search,
        tower: Tower,
        waiting: int,
        observe: Callable[[int], None] = lambda _size: None,
    ) -> None:
        """`searched`: the table that is followed; it follows commits by itself."""
        self._following, self._searched, self._tower = following, searched, tower
        self._batches: Batcher[tuple[Query, Options], Found] = Batcher(
            "search", self._search, MOST_AT_ONCE, waiting, THREADS, observe
        )

    async def find(self, terms: Sequence[Term], options: Options) -> Found:
        """The rows nearest to the sum of the terms.

        Raises:
            UsageError, TableError: as `pipeline.search`, and for a wrong condition.
            ImageError, TokenizerError: a term cannot be encoded.
            OverloadedError: too many requests wait.
        """
        vectors = await asyncio.gather(*map(self._query, terms))
        total, *others = vectors
        for other in others:
            total += other
        return await asyncio.wrap_future(self._batches.submit((total, options)))

    def close(self) -> None:
        self._batches.close()

    async def _query(self, term: Term) -> Query:
        if term.text is not None:
            query = search.vector(await self._tower.text(term.text), "text")
        elif term.image is not None:
            query = search.vector(await self._tower.image(term.image), "image")
        else:
            query = search.uid(str(term.uid), term.vector)
        return term.weight * query

    def _search(self, asked: Sequence[tuple[Query, Options]]) -> Sequence[Found]:
        alike: dict[Options, list[int]] = defaultdict(list)
        for place, (_, options) in enumerate(asked):
            alike[options].append(place)
        found: dict[int, Found] = {}
        for options, places in alike.items():
            answers = self._together([asked[place][0] for place in places], options)
            found |= zip(places, answers, strict=True)
        return [found[place] for place in range(len(asked))]

    def _together(self, queries: Sequence[Query], options: Options) -> list[Found]:
        opened = self._following.newest()
        require_columns(opened, options.columns)
        hits = self._searched.many(
            queries,
            options.k,
            None if options.where is None else to_sql(options.where, opened.schema),
            offset=options.offset,
            columns=options.columns,
            distinct=options.distinct,
            against=options.against,
            min_probability=options.min_probability,
            words=options.words,
            hybrid=options.hybrid,
            exact=options.exact,
        )
        return [Found(opened.version, each) for each in hits]


def require_columns(opened: Table, columns: Sequence[str]) -> None:
    """Raises UsageError for a column that the table lacks, or whose values are vectors or bytes."""
    known = [field.name for field in opened.schema if showable(field)]
    for name in columns:
        if name not in known:
            near = near_names(name, known)
            why = "holds vectors or bytes" if name in opened.schema.names else "does not exist"
            raise UsageError(f"column {name!r} {why}; choose from {', '.join(near)}")
