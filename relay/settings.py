"""What the relay reads from the environment and from `.env`, once, at start."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from relay.env import Environment, Keys, PublicAddress, parse_keys
from relay.names import NAME

GITHUB = "github"
"""The caller's name of what comes with GitHub's signature."""


class Settings(Environment):
    """Who may come in, where it listens, and where it keeps things."""

    api_key: Keys
    machine_key: Keys
    machine_name: str = Field(default="laptop", pattern=NAME)
    github_webhook_secret: SecretStr | None = None
    webhook_secret: SecretStr | None = None
    rate_limit_per_minute: int = Field(default=600, ge=0)
    relay_retention_days: float = Field(default=7, gt=0)
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    public_url: PublicAddress | None = None
    relay_sqlite_path: Path = Path("relay.db")

    @model_validator(mode="after")
    def _scopes_are_apart(self) -> Self:
        if self.callers().keys() & self.machines().keys():
            raise ValueError("API_KEY and MACHINE_KEY share a key; a caller must not be a machine")
        return self

    @field_validator("webhook_secret")
    @classmethod
    def _check_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            for secret in parse_keys(value.get_secret_value(), "webhook") if value else ():
                Webhook(secret)
        except (ValueError, RuntimeError, EmptyWebhookSecretError):
            raise ValueError("a Standard Webhooks secret looks like whsec_ and then base64") from None
        return value

    @property
    def address(self) -> str:
        """Where the world reaches this relay, without a trailing slash; this machine when it is not said."""
        return self.public_url or f"http://127.0.0.1:{self.port}"

    def signers(self) -> dict[str, str]:
        """Standard Webhooks secret → caller's name; without a name it is `webhook`."""
        return parse_keys(self.webhook_secret.get_secret_value(), "webhook") if self.webhook_secret else {}

    def callers(self) -> dict[str, str]:
        """API key → caller's name; a key without a name belongs to `default`."""
        return parse_keys(self.api_key.get_secret_value(), "default")

    def machines(self) -> dict[str, str]:
        """Machine key → machine's name; a key without a name belongs to MACHINE_NAME."""
        return parse_keys(self.machine_key.get_secret_value(), self.machine_name)
