"""Answers travel compressed: a phone far away loads the list from 12 KB instead of 60."""

from __future__ import annotations

import gzip
from functools import lru_cache

from flask import Response, request

from viewer import assets

_LEAST_BYTES = 600
_WORTH_IT = ("text/", "application/json", "application/manifest+json", "image/svg+xml")
_QUICK, _THOROUGH = 5, 9


def squeeze(response: Response) -> Response:
    """Compress what is worth it, for those who take it. What is streamed or saved as a file is left alone."""
    is_download = response.headers.get("Content-Disposition", "").startswith("attachment")
    if is_download or not response.content_type.startswith(_WORTH_IT):
        return response
    is_asset = assets.is_kept()
    if response.status_code != 200 or (response.is_streamed and not is_asset):  # noqa: PLR2004
        return response
    response.vary.add("Accept-Encoding")
    if request.accept_encodings["gzip"] <= 0:
        return response
    response.direct_passthrough = False
    body = response.get_data()
    if len(body) >= _LEAST_BYTES:
        response.set_data(_once(body) if is_asset else gzip.compress(body, _QUICK, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response


@lru_cache(maxsize=32)
def _once(body: bytes) -> bytes:
    return gzip.compress(body, _THOROUGH, mtime=0)
