"""Which URIs inside data may be fetched, whatever way they are written."""

from __future__ import annotations

import pytest

from pipeline.sample import Source
from pipeline.sources import fetch

LOCAL = Source("lists/x.jsonl", "file:///data/in/lists/x.jsonl", "1", 1)
REMOTE = Source("x.jsonl", "s3://bucket/in/x.jsonl", "1", 1)
WEB = Source("x.csv", "https://example.org/in/x.csv", "1", 1)


@pytest.mark.parametrize(
    ("text", "source", "opened"),
    [
        ("a.jpg", LOCAL, "file:///data/in/lists/a.jpg"),
        ("../photos/a.jpg", LOCAL, "file:///data/in/photos/a.jpg"),
        ("/data/in/a.jpg", LOCAL, "file:///data/in/a.jpg"),
        ("file:///data/in/a b%20c.jpg", LOCAL, "file:///data/in/a b%20c.jpg"),
        ("what?#.jpg", LOCAL, "file:///data/in/lists/what?#.jpg"),
        ("photos/a.jpg", REMOTE, "s3://bucket/in/photos/a.jpg"),
        ("s3://bucket/in/a.jpg", REMOTE, "s3://bucket/in/a.jpg"),
        ("a.jpg?size=1", WEB, "https://example.org/in/a.jpg?size=1"),
    ],
)
def test_what_lies_below_the_input_is_opened(text: str, source: Source, opened: str) -> None:
    assert fetch.resolve(text, source, ()) == opened


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("../../secret.jpg", LOCAL),
        ("/etc/passwd", LOCAL),
        ("file:///etc/passwd", LOCAL),
        ("local:///etc/passwd", LOCAL),
        ("file:///data/in/../secret", LOCAL),
        ("file:///data/inner/a.jpg", LOCAL),
        ("%2e%2e/%2e%2e/secret", LOCAL),
        ("%252e%252e/%252e%252e/secret", LOCAL),
        ("..\\..\\secret", LOCAL),
        ("https://example.org/a.jpg", LOCAL),
        ("file:///etc/passwd", WEB),
        ("/etc/passwd", REMOTE),
        ("s3://other/in/a.jpg", REMOTE),
        ("s3://bucket/in/../a.jpg", REMOTE),
        ("https://example.org/in/%2e%2e/a.jpg", WEB),
        ("https://example.org.evil.net/in/a.jpg", WEB),
        ("https://example.org@evil.net/in/a.jpg", WEB),
        ("https://example.org/in/\n/../a.jpg", WEB),
        ("http://example.org/in/a.jpg", WEB),
        ("https://[half/in/a.jpg", WEB),
    ],
)
def test_what_lies_elsewhere_is_not(text: str, source: Source) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        fetch.resolve(text, source, ())


@pytest.mark.parametrize(
    ("prefix", "text", "is_allowed"),
    [
        ("https://example.org/photos/", "https://example.org/photos/a.jpg", True),
        ("https://example.org/photos", "https://EXAMPLE.org/photos/a.jpg", True),
        ("https://example.org/photos", "https://example.org/photos2/a.jpg", False),
        ("https://example.org", "https://example.org/any/a.jpg", True),
        ("https://", "https://anywhere.net/a.jpg", True),
        ("https://", "http://anywhere.net/a.jpg", False),
        ("/data/photos", "/data/photos/a.jpg", True),
        ("/", "/etc/passwd", True),
        ("s3://bucket/photos", "s3://bucket/photos/a.jpg", True),
    ],
)
def test_a_prefix_allows_what_lies_below_it(prefix: str, text: str, is_allowed: bool) -> None:
    try:
        fetch.resolve(text, LOCAL, (prefix,))
    except fetch.ForbiddenUriError:
        assert not is_allowed
    else:
        assert is_allowed


def test_messages_show_neither_passwords_nor_signatures() -> None:
    assert fetch.shown("https://me:secret@example.org/a.jpg?sig=abc#x") == "https://example.org/a.jpg"
    assert fetch.shown("photos/a.jpg") == "photos/a.jpg"
