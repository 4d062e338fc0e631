"""The documents by which an app finds out how to sign in (RFC 8414, RFC 9728).

Made by hand: the SDK's writes the issuer with a slash too many, which then differs from the `iss`
that an app must compare it with, and leaves out apps without a secret."""

from __future__ import annotations

from typing import Any

SCOPES = ["tasks", "offline_access"]
"""One is enough; the other is what some apps look for before they renew anything."""
WITH_SECRET = "client_secret_post"  # noqa: S105 - the name of a method
METADATA_PATHS = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")
RESOURCE_PATHS = ("/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource")


def resource(address: str) -> str:
    """What tokens are for: the door for assistants of the relay at *address*."""
    return f"{address}/mcp"


def metadata(address: str) -> dict[str, Any]:  # Any: JSON
    """Of the authorization server."""
    methods = ["none", WITH_SECRET]
    return {
        "issuer": address,
        "authorization_endpoint": f"{address}/authorize",
        "token_endpoint": f"{address}/token",
        "registration_endpoint": f"{address}/register",
        "revocation_endpoint": f"{address}/revoke",
        "scopes_supported": SCOPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "service_documentation": f"{address}/llm-instructions",
    }


def resource_metadata(address: str) -> dict[str, Any]:  # Any: JSON
    """Of what the tokens are for."""
    return {
        "resource": resource(address),
        "authorization_servers": [address],
        "scopes_supported": SCOPES,
        "bearer_methods_supported": ["header"],
        "resource_name": "ai-webhook",
    }


def challenge(address: str, *, is_wrong: bool) -> str:
    """The `WWW-Authenticate` that leads an app without a token to the documents above; *is_wrong* when
    it had one that is not good (any more), so that it renews it (RFC 6750, 3.1)."""
    error = 'error="invalid_token", ' if is_wrong else ""
    return f'Bearer {error}resource_metadata="{address}{RESOURCE_PATHS[0]}", scope="{SCOPES[0]}"'
