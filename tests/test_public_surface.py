"""What others may rely on: names, commands and columns. A change here is a change for users."""

from __future__ import annotations

import inspect

import pipeline.search
import siglip_core
from jobs import cli
from pipeline import schema
from pipeline.schema import Identity
from pipeline.search import Hit, Search


def test_siglip_core() -> None:
    assert siglip_core.__all__ == [
        *("CheckpointError", "ImageError", "Preprocessing", "SiglipError", "Spec", "TextSpec", "TokenizerError"),
        *("VisionSpec", "load", "spec"),
    ]
    assert all(hasattr(siglip_core, name) for name in siglip_core.__all__)
    assert list(inspect.signature(siglip_core.load).parameters) == [
        *("name_or_dir", "device", "dtype", "mode", "preprocessing")
    ]
    assert list(inspect.signature(siglip_core.spec).parameters) == ["name_or_dir", "mode", "preprocessing"]


def test_an_encoder() -> None:
    from siglip_core.encoder import Encoder

    public = {name for name in vars(Encoder) if not name.startswith("_")}
    assert {"encode_image", "encode_text", "logit_scale", "logit_bias", "preprocess"} <= public


def test_search() -> None:
    assert pipeline.search.__all__ == [
        *("DEFAULT_K", "Hit", "Hits", "Query", "Search", "image", "open", "text", "uid", "vector"),
    ]
    assert list(inspect.signature(pipeline.search.open).parameters) == ["table_uri", "model"]
    public = [name for name in vars(Search) if not name.startswith("_")]
    assert public == ["by_text", "by_image", "by_uid", "by_vector", "by", "many"]
    assert list(Hit.__dataclass_fields__) == [
        *("uid", "cosine", "logit", "probability", "caption", "source", "key", "captions", "columns"),
    ]


def test_commands() -> None:
    assert list(cli.commands()) == [
        *(
            "captions",
            "dedup",
            "embed",
            "filter",
            "import",
            "index",
            "inspect",
            "label",
            "models",
            "optimize",
            "plan",
            "query",
            "rejects",
            "remove",
            "report",
            "runs",
            "scenes",
            "score",
            "serve",
        ),
        *("status", "submit", "tag", "tags", "train", "verify", "why"),
    ]


def test_columns_of_a_table() -> None:
    identity = Identity("w", "p", None, "float32", 4, "m", 1.0, 0.0)
    assert schema.table_schema(identity).names == [
        *("uid", "key", "source", "source_version", "source_row", "source_rows", "member", "caption"),
        *("original_width", "original_height", "image_sha256", "status", "stage", "reason", "error_message"),
        *("image_vector", "text_vector", "cosine", "logit", "probability"),
    ]
    assert schema.DUPLICATES == ("duplicate_of", "duplicate_method", "dedup_judged")
