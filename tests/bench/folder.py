"""Where measurements write: on the disk of this checkout, because a temporary folder may be in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chain import ROOT


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as path:
        yield Path(path)
