#!/usr/bin/env python3
"""Post an example to the relay and print the answer. Needs nothing but Python.

    python3 examples/send.py examples/git_log.json
    python3 examples/send.py examples/github_push.json --github push

The key comes from API_KEY (or, with --github, GITHUB_WEBHOOK_SECRET) in the environment or in .env.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import re
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path


def main() -> int:
    """Post, print, and end with 0 when the relay took it."""
    arguments = read_arguments()
    try:
        body = arguments.payload.read_bytes()
    except OSError as problem:
        sys.exit(f"{arguments.payload} cannot be read ({problem.strerror}); look in {Path(__file__).parent}")
    # RELAY_SERVER_URL may also be written as the listener's address: wss://relay.example/ws
    relay = re.sub("^ws", "http", arguments.relay).rstrip("/").removesuffix("/ws")
    url = f"{relay}/webhook?wait={arguments.wait}"
    if not url.startswith(("http://", "https://")):
        sys.exit(f"{arguments.relay} is no address of a relay; try http://127.0.0.1:8000")
    request = urllib.request.Request(url, body, headers_for(body, arguments.github), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        status, text = refusal.code, refusal.read()
    except urllib.error.URLError as problem:
        sys.exit(f"No relay at {arguments.relay} ({problem.reason}); start one with: make run")
    print(f"HTTP {status}")
    print(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    return 0 if status < 300 else 1


def read_arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="Post an example to the relay and print the answer.")
    parser.add_argument("payload", type=Path, help="a JSON file from this folder")
    parser.add_argument(
        "--relay", default=setting("RELAY_SERVER_URL") or f"http://127.0.0.1:{setting('PORT') or 8000}"
    )
    parser.add_argument("--wait", type=int, default=25, help="seconds to wait for the result, 0 to 45")
    parser.add_argument("--github", metavar="EVENT", help="sign it as GitHub would, as this event")
    return parser.parse_args()


def headers_for(body: bytes, github_event: str | None) -> dict[str, str]:
    """The key, or GitHub's signature: HMAC-SHA256 over the raw body, with the shared secret."""
    if github_event is None:
        entry = setting("API_KEY").split(",")[0].strip()
        # name=key, or only a key, which may end in = itself.
        key = entry.partition("=")[2]
        return {"Content-Type": "application/json", "X-API-Key": key if key.strip("=") else entry}
    signature = hmac.new(setting("GITHUB_WEBHOOK_SECRET").encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": github_event,
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": f"sha256={signature}",
    }


def setting(name: str) -> str:
    """*name* from the environment or from .env; empty when neither has it."""
    if name in os.environ:
        return os.environ[name]
    lines = Path(".env").read_text(encoding="utf-8").splitlines() if Path(".env").exists() else []
    found = [line.partition("=")[2].strip() for line in lines if line.startswith(f"{name}=")]
    return found[-1] if found else ""


if __name__ == "__main__":
    sys.exit(main())
