"""A URI's file system, set up from the environment's usual variables: endpoint, region, credentials."""

from __future__ import annotations

import os
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import known_implementations

from pipeline.errors import InputError
from pipeline.storage.redaction import holds_credentials, reason, redact

STALL_SECONDS = 30.0
"""A connection that sends no byte for so long is closed."""
S3_PROTOCOLS = ("s3", "s3a")
HTTP_PROTOCOLS = ("http", "https")
AZURE_PROTOCOLS = ("az", "abfs", "abfss")
VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_CONNECTION_STRING",
    "hf": "HF_TOKEN",
}
"""the environment's variables for the credentials of a store, by protocol"""
EXTRAS = {"s3fs": "s3", "gcsfs": "gcs", "adlfs": "azure"}


def locate(uri: str, use: str = "input") -> tuple[Any, str]:
    """The file system of a URI, and the path in it. (`fsspec.open` would read `::` in a file's name as a chain.)

    `use`: what the URI is for; errors name it, and the option `--<use>`.

    Raises:
        InputError: its protocol cannot be used, or the URI holds credentials.
    """
    protocol = protocol_of(uri)
    shown = redact(uri)
    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ValueError as error:
        raise InputError(f"{use} {shown}: unknown protocol {protocol!r}; check --{use}") from error
    except ImportError as error:
        raise InputError(f"{use} {shown}: {error}; {_fix(protocol)}") from error
    if protocol not in HTTP_PROTOCOLS and holds_credentials(uri):
        raise InputError(
            f"{use} {shown}: an address must not contain credentials; set them in the environment, "
            "e.g. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    try:
        filesystem = fsspec.filesystem(protocol, **kind._get_kwargs_from_urls(uri), **_options(protocol))
    except ValueError as error:  # adlfs needs an account from the start
        raise InputError(
            f"{use} {shown}: {reason(error)}; set the variables of the account and its key (see docs/storage.md)"
        ) from error
    _take_retries_from(filesystem, protocol)
    return filesystem, kind._strip_protocol(uri)


def protocol_of(uri: str) -> str:
    return fsspec.core.split_protocol(uri)[0] or "file"


def is_local(filesystem: Any) -> bool:
    return isinstance(filesystem, LocalFileSystem)


def correct_credentials(address: str) -> str:
    """The advice to a user whose credentials are missing or wrong. `address`: of the store, alone or in a text."""
    names = next((names for protocol, names in VARIABLES.items() if f"{protocol}://" in address), None)
    return f"set {names} correctly in the environment" if names else "correct the credentials"


def s3_endpoint() -> str | None:
    """The server to use instead of AWS, from the variables that AWS's tools, s3fs and Lance read."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def s3_region() -> str | None:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def _options(protocol: str) -> dict[str, Any]:
    """Settings that fsspec's file systems do not read from the environment themselves."""
    if protocol in S3_PROTOCOLS:
        return {
            "endpoint_url": s3_endpoint(),
            "client_kwargs": {"region_name": region} if (region := s3_region()) else {},
            "config_kwargs": {
                "connect_timeout": STALL_SECONDS,
                "read_timeout": STALL_SECONDS,
                "retries": {"total_max_attempts": 1},
                # servers other than AWS refuse the checksums that botocore adds to uploads
                "request_checksum_calculation": "when_required",
            },
            "max_concurrency": 1,  # with more, s3fs asks for a file's size before it reads the file
            "use_listings_cache": False,
        }
    if protocol in AZURE_PROTOCOLS:
        return {"use_listings_cache": False}
    if protocol in HTTP_PROTOCOLS:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=STALL_SECONDS, sock_read=STALL_SECONDS)
        return {"client_kwargs": {"timeout": timeout, "trust_env": True}, "use_listings_cache": False}
    return {}


def _take_retries_from(filesystem: Any, protocol: str) -> None:
    """Turns off the libraries' own retries, which we could not count. Azure's would also wait longer than others."""
    if protocol in S3_PROTOCOLS:
        filesystem.retries = 1
    elif protocol in AZURE_PROTOCOLS:
        config = filesystem.service_client._config  # adlfs does not pass these settings on
        config.retry_policy.total_retries = 0
        config.transport.connection_config.timeout = STALL_SECONDS
        config.transport.connection_config.read_timeout = STALL_SECONDS


def _fix(protocol: str) -> str:
    package = known_implementations[protocol]["class"].partition(".")[0]
    if package in EXTRAS:
        return f"pip install 'siglane[{EXTRAS[package]}]'"
    return "install the package that it names" if package == "fsspec" else f"pip install {package}"
