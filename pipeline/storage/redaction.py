"""Keeps credentials and signatures out of messages, logs and tables. Every shown URI must pass through `redact`."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from pipeline.storage import azure

if TYPE_CHECKING:
    from pydantic import BaseModel

SECRET_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_ACCOUNT_KEY",
    azure.CONNECTION_STRING,
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "HF_TOKEN",
)
SHORTEST_SECRET = 8
"""characters; a shorter value is a placeholder, and may occur in any word"""
LONGEST_MESSAGE = 300

# A key may contain slashes, so credentials end at the @, even after a slash. `host:80/a@b` has no credentials.
_CREDENTIALS = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*://)[^\s/@'\"]*:(?!\d+(?:/|$))[^\s@'\"]*@")
_USER = re.compile(r"(?P<scheme>\bhttps?://)[^\s/@'\"]+@")
_QUERY = re.compile(
    r"(?P<address>\b(?!file:)[A-Za-z][A-Za-z0-9+.-]*://[^\s?'\"<>]*)\?[^\s'\"<>]*?(?=[:;,)]*(?:[\s'\"<>]|$))"
)
# Parts of an S3 server's answer to a signature that it does not accept.
_SIGNED = re.compile(r"<(AWSAccessKeyId|SignatureProvided|StringToSign\w*|CanonicalRequest\w*)>.*?</\1>", re.DOTALL)


def redact(text: str) -> str:
    """The text without credentials and queries in its URIs, and without the secrets of this process's environment."""
    text = _SIGNED.sub("", text)
    text = _CREDENTIALS.sub(r"\g<scheme>", text)
    text = _USER.sub(r"\g<scheme>", text)
    text = _QUERY.sub(r"\g<address>?…", text)
    for value in (*(os.environ.get(name, "") for name in SECRET_VARIABLES), *azure.secrets()):
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, "…")
    return text


def redact_options(options: BaseModel) -> dict[str, Any]:
    """The options of a command as JSON values, as they may be stored.

    An option that is made to hold a secret is left out: `json_schema_extra={"secret": True}`.
    """
    fields = type(options).model_fields.items()
    secret = {name for name, field in fields if (field.json_schema_extra or {}) == {"secret": True}}
    found: dict[str, Any] = json.loads(redact(json.dumps(options.model_dump(mode="json", exclude=secret))))
    return found


def holds_credentials(uri: str) -> bool:
    return _CREDENTIALS.match(uri) is not None


def reason(error: BaseException) -> str:
    """An error's message on one line, redacted and shortened for display."""
    text = " ".join(redact(str(error)).split()) or type(error).__name__
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}…"
