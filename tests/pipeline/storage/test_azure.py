"""Azure's connection string, without a server; tests/services has one."""

from __future__ import annotations

import pytest

from pipeline import storage, table


@pytest.mark.parametrize(
    ("connection_string", "told"),
    [
        ("", {}),
        (
            "DefaultEndpointsProtocol=https;AccountName=me;AccountKey=a+b/c==;EndpointSuffix=core.chinacloudapi.cn",
            {
                "azure_storage_account_name": "me",
                "azure_storage_account_key": "a+b/c==",
                "azure_storage_endpoint": "https://me.blob.core.chinacloudapi.cn",
            },
        ),
        (
            "AccountName=me;BlobEndpoint=http://127.0.0.1:10000/me;SharedAccessSignature=sv=1&sig=x%3D;",
            {
                "azure_storage_account_name": "me",
                "azure_storage_sas_token": "sv=1&sig=x%3D",
                "azure_storage_endpoint": "http://127.0.0.1:10000/me",
                "allow_http": "true",
            },
        ),
    ],
)
def test_lance_is_told_what_a_connection_string_says(
    monkeypatch: pytest.MonkeyPatch, connection_string: str, told: dict[str, str]
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection_string)
    options = table.parse("az://container/db/t").storage_options
    assert options is not None
    assert {name: value for name, value in options.items() if not name.startswith("client_")} == told


def test_the_key_in_a_connection_string_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "AccountName=me;AccountKey=wJalrXUtnFEMI/K7MDENG==;BlobEndpoint=http://h"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", said)
    assert storage.redact(f"{said}: refused") == "…: refused"
    assert storage.redact("the key wJalrXUtnFEMI/K7MDENG== of me") == "the key … of me"
