"""Which version of ai-webhook this is. No I/O."""

from __future__ import annotations

VERSION = "0.1.0"
