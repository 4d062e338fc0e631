"""Scripts and styles: written in small files with comments, sent as one of each without them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from flask import Flask, Response, request, url_for

_FOLDER = Path(__file__).parent / "static"
_STYLE, _SCRIPT = "text/css; charset=utf-8", "text/javascript; charset=utf-8"
_PACKED = {
    **{name: (_STYLE, (name,)) for name in ("viewer.css", "task.css", "stats.css", "connect.css")},
    "icon.svg": ("image/svg+xml", ("icon.svg",)),
    "viewer.js": (_SCRIPT, ("merge.js", "output.js", "comforts.js", "away.js", "viewer.js")),
}
"""What a browser loads: its type, and the files that it is made of, in this order."""
ENDPOINTS = frozenset(f"asset {name}" for name in _PACKED)
"""Where Flask finds them."""
_YEAR_S = 31_536_000
FOR_GOOD = f"private, max-age={_YEAR_S}, immutable"
"""`Cache-Control` of an address that names what is in it. It also spares the 304, after which waitress
closes the connection."""


def add_to(app: Flask) -> Callable[[str], str]:
    """Serve them. Returns what makes their addresses, which change with what is in the file, so that
    browsers may keep it."""
    packed = {name: _pack(name) for name in _PACKED}
    versions = {path.name: _digest(path.read_bytes()) for path in _FOLDER.iterdir()}
    versions |= {name: _digest(content) for name, content in packed.items()}

    def serve(name: str) -> Response:
        return Response(packed[name], content_type=_PACKED[name][0])

    for name in packed:
        app.add_url_rule(f"/static/{name}", f"asset {name}", serve, defaults={"name": name})
    return lambda name: url_for("static", filename=name, v=versions[name])


def is_kept() -> bool:
    """Whether the address that is asked for now names what is in the file."""
    return request.path.startswith("/static/") and "v" in request.args


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _pack(name: str) -> bytes:
    """The files in one, without comments and indentation. Only comments that have a line for
    themselves are taken away: anything else would need to understand the language."""
    text = "\n".join((_FOLDER / part).read_text(encoding="utf-8") for part in _PACKED[name][1])
    if name.endswith(".css"):
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        text = re.sub(r"\s*([{};])\s*", r"\1", text)
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(("//", "/**"))).encode()
