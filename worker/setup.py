"""What a fresh machine needs before the first start: keys and a policy. Nothing is ever overwritten."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

_ENV = """\
# Your keys and settings. .env.example explains every setting. Never put this file into git.

# What callers show to the relay. The first key is yours; give each other caller its own: owner=key,phone=key
API_KEY={api_key}

# What this machine shows to the relay.
MACHINE_KEY={machine_key}
"""

_POLICY = """\
# What may run on this machine, and where. No message can change this file; it is read again
# when you save it. examples/policy.toml explains every line.
version = 1

[projects.ai-webhook]
path = {path}
git = "write"
shell = "full"
claude = ["review", "plan", "ask", "edit"]
"""


class CannotSetUp(Exception):
    """Something is missing that cannot be made here; the text says what to do."""


def prepare(env_path: Path, policy_path: Path, checkout: Path) -> list[Path]:
    """Write `.env` with fresh keys and `policy.toml` with *checkout* as its one project, each
    readable by its owner only and each only when it is absent. Returns what was written.

    Raises CannotSetUp."""
    if shutil.which("git") is None:
        raise CannotSetUp("git is not installed; install it (for example: apt install git) and try again")
    env = _ENV.format(api_key=secrets.token_urlsafe(32), machine_key=secrets.token_urlsafe(32))
    policy = _POLICY.format(path=_toml_string(str(checkout)))
    return [path for path, text in ((env_path, env), (policy_path, policy)) if _write_new(path, text)]


def _write_new(path: Path, text: str) -> bool:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    except OSError as problem:
        raise CannotSetUp(f"{path} cannot be written ({problem.strerror})") from None
    with os.fdopen(handle, "w", encoding="utf-8") as new:
        new.write(text)
    return True


def _toml_string(text: str) -> str:
    """*text* as a TOML basic string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
