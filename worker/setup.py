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


def check_programs() -> None:
    """Raises CannotSetUp when one is missing that cannot be done without."""
    if shutil.which("git") is None:
        raise CannotSetUp("git is not installed; install it (for example: apt install git) and try again")


def write_env(path: Path) -> bool:
    """Write settings with fresh keys, for their owner only, when there are none; whether that was so.
    Raises CannotSetUp."""
    keys = {"api_key": secrets.token_urlsafe(32), "machine_key": secrets.token_urlsafe(32)}
    return _write_new(path, _ENV.format(**keys))


def write_policy(path: Path, checkout: Path) -> bool:
    """Write a policy with *checkout* as its one project, as above."""
    return _write_new(path, _POLICY.format(path=_toml_string(str(checkout))))


def _write_new(path: Path, text: str) -> bool:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    except OSError as problem:
        raise CannotSetUp(f"{path} cannot be written ({problem.strerror})") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as new:
            new.write(text)
    except OSError as problem:
        # Half of it, on a full disk, would be in the way of every later start.
        path.unlink()
        raise CannotSetUp(f"{path} cannot be written ({problem.strerror})") from None
    return True


def _toml_string(text: str) -> str:
    """*text* as a TOML basic string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
