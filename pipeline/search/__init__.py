"""Queries a table from Python:

hits = pipeline.search.open("out/demo/photos").by_text("a dog on a beach")
"""

from pipeline.search.exact import DEFAULT_K, Hit, Search, open  # noqa: A004 - it is `search.open`, as in `PIL.Image.open`

__all__ = ["DEFAULT_K", "Hit", "Search", "open"]
