"""Queries a table from Python:

table = search.open("out/demo/photos")
hits = table.by_text("a dog on a beach")
hits = table.by(2 * search.text("a dog") + search.image("beach.jpg") - search.text("snow"))
"""

from pipeline.search.hits import Hit, Hits
from pipeline.search.search import DEFAULT_K, Search, open  # noqa: A004 - it is `search.open`, as in `PIL.Image.open`
from pipeline.search.terms import Query, image, text, uid, vector

__all__ = ["DEFAULT_K", "Hit", "Hits", "Query", "Search", "image", "open", "text", "uid", "vector"]
