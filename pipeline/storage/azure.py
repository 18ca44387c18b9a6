"""The connection string that Azure's portal and tools give for an account, taken apart: Lance does not know it.

Whoever takes one (adlfs, Azure's own tools) takes it before all other variables.
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
"""of Lance's, by the part that each stands in"""


def lance_options() -> dict[str, str]:
    """What Lance needs to reach the account that the connection string names; nothing where there is none."""
    parts = _parts()
    if "endpointsuffix" in parts and "accountname" in parts:
        protocol = parts.get("defaultendpointsprotocol", "https")
        parts.setdefault("blobendpoint", f"{protocol}://{parts['accountname']}.blob.{parts['endpointsuffix']}")
    options = {option: parts[name] for name, option in _OPTIONS.items() if name in parts}
    if parts.get("blobendpoint", "").startswith("http://"):
        options["allow_http"] = "true"
    return options


def secrets() -> list[str]:
    """What of the connection string must not be shown."""
    parts = _parts()
    return [parts[name] for name in (_KEY, _SIGNATURE) if name in parts]


def _parts() -> dict[str, str]:
    """By their names in lower case."""
    parts = (part.partition("=") for part in os.environ.get(CONNECTION_STRING, "").split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in parts if value}
