"""Parses the connection string that Azure's portal and tools give for an account. Lance cannot read it itself.

Tools that read it (adlfs, Azure's own tools) prefer it to all other variables.
"""

from __future__ import annotations

import os

CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"

_KEY, _SIGNATURE = "accountkey", "sharedaccesssignature"
_OPTIONS = {
    "accountname": "azure_storage_account_name",
    _KEY: "azure_storage_account_key",
    _SIGNATURE: "azure_storage_sas_token",
    "blobendpoint": "azure_storage_endpoint",
}
"""part of the connection string -> Lance's option"""


def lance_options() -> dict[str, str]:
    """The options that Lance needs to reach the account of the connection string; empty if there is no such string."""
    parts = _parts()
    if "endpointsuffix" in parts and "accountname" in parts:
        protocol = parts.get("defaultendpointsprotocol", "https")
        parts.setdefault("blobendpoint", f"{protocol}://{parts['accountname']}.blob.{parts['endpointsuffix']}")
    options = {option: parts[name] for name, option in _OPTIONS.items() if name in parts}
    if parts.get("blobendpoint", "").startswith("http://"):
        options["allow_http"] = "true"
    return options


def secrets() -> list[str]:
    """The parts of the connection string that must not be shown."""
    parts = _parts()
    return [parts[name] for name in (_KEY, _SIGNATURE) if name in parts]


def _parts() -> dict[str, str]:
    """The parts of the connection string, by name in lower case."""
    parts = (part.partition("=") for part in os.environ.get(CONNECTION_STRING, "").split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in parts if value}
