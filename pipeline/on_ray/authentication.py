"""Tokens of Ray clusters: the one that is sent from here, and what to say where a cluster refuses it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ray._raylet import (  # type: ignore[attr-defined]
    AuthenticationMode,
    AuthenticationTokenLoader,
    get_authentication_mode,
)

from pipeline.errors import SiglaneError

PLACES = {"RAY_AUTH_TOKEN": "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH": "the file of RAY_AUTH_TOKEN_PATH"}
"""where Ray looks for a token, in its order; the last place is ~/.ray/auth_token"""


def headers() -> Mapping[str, str]:
    """The headers of a request to a cluster; empty where no token is sent."""
    if get_authentication_mode() != AuthenticationMode.TOKEN:
        return {}
    loader = AuthenticationTokenLoader.instance()
    found: Mapping[str, str] = loader.get_token_for_http_header() if loader.has_token() else {}
    return found


def refused(address: str) -> SiglaneError:
    """The error where a cluster wants a token, and has got none from here or another one."""
    if headers():
        place = next((text for name, text in PLACES.items() if os.environ.get(name)), "~/.ray/auth_token")
        return SiglaneError(
            f"Ray at {address}: the cluster refuses the token from {place}; give the token of its head: copy the "
            "head's ~/.ray/auth_token, or set RAY_AUTH_TOKEN"
        )
    mode = os.environ.get("RAY_AUTH_MODE", "").lower()
    off = "set RAY_AUTH_MODE=token, which is disabled here, and " if mode == "disabled" else ""
    return SiglaneError(
        f"Ray at {address}: the cluster wants a token, and none was sent: {off}copy ~/.ray/auth_token from its head, "
        "or set RAY_AUTH_TOKEN"
    )
