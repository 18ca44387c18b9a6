"""Find the images or captions nearest to texts, images and rows of the table."""

from __future__ import annotations

import io
import math
import shutil
import sys
import tempfile
import webbrowser
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pyarrow import csv, parquet
from pydantic import Field, model_validator
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs import command, shown_input
from jobs.command import Result
from jobs.output import require_folder, whole_file
from pipeline import search
from pipeline.errors import InputError, UsageError
from pipeline.report import hits_page
from pipeline.sample import shown
from pipeline.search import Hit, Hits, Query
from pipeline.search.search import MOST
from pipeline.search.terms import Modality
from pipeline.sources import InputOptions, SourceOptions
from pipeline.storage import redact
from pipeline.table import open_table, parse


class QueryJob(InputOptions):
    """Every option of `siglane query`."""

    table: str = Field(description="DATABASE/NAME of the table; add @TAG or @VERSION to read a fixed version")
    text: tuple[str, ...] = Field(
        (), description="find what this text describes", json_schema_extra={"repeatable": True}
    )
    image: tuple[str, ...] = Field(
        (),
        description="find what is similar to the image in this file, which may be a URI such as s3://…/a.jpg",
        json_schema_extra={"repeatable": True},
    )
    uid: tuple[str, ...] = Field(
        (),
        description="find what is similar to this row's image, the row included",
        json_schema_extra={"repeatable": True},
    )
    without: tuple[str, ...] = Field(
        (),
        description="text to keep away from; taken off the sum of the others",
        json_schema_extra={"repeatable": True},
    )
    queries: Path | None = Field(None, description="FILE with one text a line; each is searched for by itself")
    k: int = Field(search.DEFAULT_K, ge=1, le=MOST, description="number of hits of a query")
    offset: int = Field(0, ge=0, le=MOST, description="leave out so many of the best hits: the next page")
    against: Modality = Field("image", description="compare the query with the images or with the captions of rows")
    distinct: Literal["image", "row"] = Field("image", description="one hit for each photo, or for each row")
    min_probability: float | None = Field(
        None, ge=0, le=1, description="only hits that match the text with at least this probability"
    )
    columns: tuple[str, ...] = Field((), description="further columns of the table in each hit")
    where: str | None = Field(None, description="SQL condition on the table's columns; only these rows are searched")
    words: str | None = Field(None, description="only rows whose captions have all these words")
    hybrid: bool = Field(
        False, description="rank by the words of captions too: by --words, or else by the words of the text"
    )
    exact: bool = Field(False, description="compare the query with all vectors, also where the table has an index")
    open: bool = Field(
        False,
        description="write a page of the hits with their images, as the table stores them or from --input, and open it "
        "in the browser",
    )
    input: tuple[str, ...] = Field(
        (),
        description="input that the table was made from, for images of --open that the table does not store; with the "
        "options that it was embedded with",
        json_schema_extra={"repeatable": True},
    )
    output: Path | None = Field(None, description="FILE.parquet or FILE.csv to write the hits to, one row a hit")
    model: str | None = Field(None, description="folder of the model, if it has moved since the table was made")

    @model_validator(mode="after")
    def _something_to_find(self) -> QueryJob:
        terms = bool(self.text or self.image or self.uid)
        if terms == (self.queries is not None):
            raise ValueError("give --text, --image or --uid, or else --queries; --words narrows what they find")
        if self.without and not terms:
            raise ValueError("--without goes with --text, --image or --uid")
        return self

    @model_validator(mode="after")
    def _input_to_show(self) -> QueryJob:
        if (self.input or shown_input.describing(self)) and not self.open:
            raise ValueError(f"{shown_input.describing(self) or '--input'} goes with --open")
        shown_input.require_use(self)
        return self

    @model_validator(mode="after")
    def _known_suffix(self) -> QueryJob:
        if self.output is not None and self.output.suffix.lower() not in (".parquet", ".csv"):
            raise ValueError("the name of --output must end in .parquet or .csv")
        return self


def query(options: QueryJob) -> Result:
    if options.output is not None:
        require_folder(options.output)
    searched = search.open(options.table, options.model)
    asked: Sequence[Query | str] = [_sum(options)] if options.queries is None else _lines_of(options.queries)
    needed = hits_page.needed(open_table(parse(options.table)), bool(options.input)) if options.open else []
    found = searched.many(
        asked,
        options.k,
        options.where,
        offset=options.offset,
        columns=[*options.columns, *needed],
        distinct="image" if options.distinct == "image" else None,
        min_probability=options.min_probability,
        against=options.against,
        exact=options.exact,
        words=options.words,
        hybrid=options.hybrid,
    )
    summary: dict[str, Any] = {"table": options.table}
    if options.open:
        summary["page"] = str(_show(options, asked, found))
        found = [Hits(_without_needed(hit, options.columns) for hit in hits) for hits in found]
    if options.output is not None:
        _write(options.output, asked, found)
    if options.queries is None:
        summary["results"] = _records(found[0])
        return Result(summary, _text(found[0]) + _page(summary))
    summary["queries"] = [{"text": text, "results": _records(hits)} for text, hits in zip(asked, found, strict=True)]
    each = (f"{shown(str(text))}\n{_text(hits)}" for text, hits in zip(asked, found, strict=True))
    return Result(summary, "\n\n".join(each) + _page(summary))


def _show(options: QueryJob, asked: Sequence[Query | str], found: Sequence[Hits]) -> Path:
    """Writes the page to a temporary folder, and opens it."""
    named = [query if isinstance(query, str) else _named(options) for query in asked]
    answers = [hits_page.Answer(name, hits) for name, hits in zip(named, found, strict=True)]
    pictures = hits_page.read_pictures(SourceOptions.part_of(options) if options.input else None, answers)
    page = Path(tempfile.mkdtemp(prefix="siglane-")) / "hits.html"
    page.write_text(hits_page.to_html(f"Hits in {options.table}", answers, pictures), "utf-8")
    webbrowser.open(page.as_uri())
    return page


def _named(options: QueryJob) -> str:
    """The query of all terms, for people."""
    terms = [*options.text, *map(redact, options.image), *options.uid, *(f"without {text}" for text in options.without)]
    return ", ".join(terms)


def _without_needed(hit: Hit, asked: Sequence[str]) -> Hit:
    return replace(hit, columns={name: value for name, value in hit.columns.items() if name in asked})


def _page(summary: dict[str, Any]) -> str:
    return f"\n{summary['page']}: the page of these hits" if "page" in summary else ""


def _sum(options: QueryJob) -> Query:
    terms = [
        *map(search.text, options.text),
        *map(search.image, options.image),
        *map(search.uid, options.uid),
        *(-1.0 * search.text(text) for text in options.without),
    ]
    total, *others = terms
    for term in others:
        total += term
    return total


def _lines_of(file: Path) -> list[str]:
    try:
        texts = [line.strip() for line in file.read_text("utf-8-sig").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"queries {file}: {error}; give a text file with one query a line") from error
    if not texts:
        raise InputError(f"queries {file}: it has no text; write one query a line")
    return texts


def _write(file: Path, asked: Sequence[Query | str], found: Sequence[Hits]) -> None:
    """One row a hit; with --queries, its text comes first in the columns. CSV has no lists, so no `captions`."""
    tables = [hits.to_arrow() for hits in found]
    no_texts = [field.name for field in tables[0].schema if _has_no_text(field.type) and field.name != "captions"]
    if file.suffix.lower() == ".csv" and no_texts:
        raise UsageError(
            f"--output {file}: CSV cannot hold the column {no_texts[0]!r}; write .parquet, or leave it out"
        )
    if isinstance(asked[0], str):
        texts = [text for text, hits in zip(asked, found, strict=True) for _ in hits]
        hits = pa.concat_tables(tables).add_column(0, "query", pa.array(texts, pa.string()))
    else:
        (hits,) = tables
    with whole_file(file) as partial:
        if file.suffix.lower() == ".parquet":
            parquet.write_table(hits, partial)
        else:
            csv.write_csv(hits.drop_columns(["captions"]), partial)


def _has_no_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _records(hits: Hits) -> list[dict[str, Any]]:
    """The hits as JSON values; a value of a further column that JSON does not have becomes null or text, and bytes
    become base64."""
    return [{name: _plain(value) for name, value in hit.as_dict().items()} for hit in hits]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return value if isinstance(value, str | int | float | None) else str(value)


def _text(hits: Hits) -> str:
    if hits and sys.stderr.isatty():
        return _grid(hits)
    return "\n".join(_line(rank, hit) for rank, hit in enumerate(hits, 1)) or "nothing found"


def _grid(hits: Hits) -> str:
    """The hits as a table, as wide as the terminal."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    has_probability = any(hit.probability is not None for hit in hits)
    further = list(hits[0].columns)
    grid.add_column("cosine", justify="right", no_wrap=True)
    if has_probability:
        grid.add_column("probability", justify="right", no_wrap=True)
    for name in ("uid", "source", "key"):
        grid.add_column(name, overflow="fold")
    grid.add_column("caption", ratio=1, overflow="fold")
    for name in further:
        grid.add_column(name, overflow="fold")
    for hit in hits:
        more = f" (and {len(hit.captions) - 1} more)" if len(hit.captions) > 1 else ""
        scores = [f"{hit.cosine:.4f}", *([f"{hit.probability or 0:.4f}"] if has_probability else [])]
        caption = " ".join(shown(hit.caption or "").split()) + more
        values = [hit.uid, shown(hit.source), shown(hit.key), caption]
        grid.add_row(*map(Text, [*scores, *values, *(_words(hit.columns[name]) for name in further)]))
    console = Console(file=io.StringIO(), width=shutil.get_terminal_size().columns)
    with console.capture() as written:
        console.print(grid)
    return written.get()


def _words(value: Any) -> str:
    return f"({len(value)} bytes)" if isinstance(value, bytes) else shown(str(value))


def _line(rank: int, hit: Hit) -> str:
    probability = "" if hit.probability is None else f"  probability {hit.probability:.4f}"
    more = f" (and {len(hit.captions) - 1} more)" if len(hit.captions) > 1 else ""
    further = "".join(f"  {name} {_words(value)}" for name, value in hit.columns.items())
    place = hit.source if hit.key in hit.source else f"{hit.source} {hit.key}"
    caption = " ".join(shown(hit.caption or "").split())
    return f"{rank:>3}. cosine {hit.cosine:.4f}{probability}  {hit.uid}  {place}  {caption}{more}{further}"


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(QueryJob, query, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
