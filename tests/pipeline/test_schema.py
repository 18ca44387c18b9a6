"""What the table's contract promises of names, uids and identity."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import schema, table
from pipeline.errors import UsageError
from pipeline.sample import row_ranges
from pipeline.schema import Identity

IDENTITY = Identity("w", "p", "t", "float32", 8, "m", 117.3, -12.9, (("torch", "2.13"),))


def test_uid_is_the_sources_own_where_it_is_one() -> None:
    assert schema.make_uid("a.tar", "k", "0f" * 16) == "0f" * 16


@pytest.mark.parametrize("own", [None, "", "0F" * 16, "0f" * 15, "not a uid"])
def test_uid_is_else_a_hash_of_path_and_key(own: str | None) -> None:
    uid = schema.make_uid("a.tar", "k", own)
    assert len(uid) == 32
    assert uid == schema.make_uid("a.tar", "k")
    assert len({uid, schema.make_uid("b.tar", "k"), schema.make_uid("a.tar", "l"), schema.make_uid("a.tark", "")}) == 4


def test_identity_survives_its_json() -> None:
    assert Identity.from_json(IDENTITY.to_json()) == IDENTITY


def test_identities_differ_by_what_makes_vectors_and_by_nothing_else() -> None:
    assert IDENTITY.differences(replace(IDENTITY, model="elsewhere", versions=())) == []
    assert IDENTITY.differences(replace(IDENTITY, precision="bfloat16")) == [("precision", "float32", "bfloat16")]


def test_a_kept_column_never_takes_a_name_of_the_contract() -> None:
    assert schema.kept_name("url") == "url"
    assert schema.kept_name("caption") == "source_caption"


def test_row_ranges() -> None:
    assert row_ranges([0, 1, 2, 7, 9, 10]) == ((0, 3), (7, 8), (9, 11))
    assert row_ranges([]) == ()


@pytest.mark.parametrize("text", ["/db/photos", "/db/photos.lance", "/db/photos/"])
def test_table_address(text: str) -> None:
    uri = table.parse(text)
    assert (uri.database, uri.name, uri.dataset, uri.state) == ("/db", "photos", "/db/photos.lance", None)


def test_table_address_with_a_state() -> None:
    assert table.parse("s3://bucket/db/photos@7").state == 7
    assert table.parse("s3://bucket/db/photos@release").state == "release"
    assert table.parse("s3://bucket/db/photos@7").dataset == "s3://bucket/db/photos.lance"


def test_table_address_without_a_folder() -> None:
    assert table.parse("t").database == Path.cwd().as_posix()
    assert table.parse("/t").dataset == "/t.lance"


@pytest.mark.parametrize("text", ["", "/", "/db/a b", "/db/photos@", "/db/.lance", "s3://bucket"])
def test_a_wrong_table_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a table's address"):
        table.parse(text)


def test_a_fixed_state_is_no_address_to_write_to() -> None:
    with pytest.raises(UsageError, match="a fixed version cannot be changed; leave out @3"):
        table.parse_writable("/db/photos@3")
