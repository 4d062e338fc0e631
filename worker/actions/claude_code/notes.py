"""What a repository says to assistants, handed over as text.

As text it can ask for something. Read by the assistant itself, it would bring the hooks, servers and settings
of the same repository with it."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worker.actions.base import Job

NAMES = ("CLAUDE.md", "AGENTS.md")
MAX_BYTES = 100_000
"""Of each file; more would be a book."""


@contextmanager
def handed_over(job: Job) -> Iterator[Path | None]:
    """A file with what the notes from the project's root down to where it works say; None without any, and
    where the assistant may read them itself."""
    found = {} if job.is_trusted else _found(job)
    if not found:
        yield None
        return
    job.note(f"Handed over as text: {', '.join(dict.fromkeys(found.values()))}")
    with tempfile.TemporaryDirectory(prefix="ai-webhook-") as folder:
        path = Path(folder) / "notes.md"
        path.write_text("\n\n".join(found), encoding="utf-8")
        yield path


def _found(job: Job) -> dict[str, str]:
    """Text → name of its file, from the root downwards. The same text, as of a link, is there once."""
    folders = [one for one in (job.directory, *job.directory.parents) if one.is_relative_to(job.root)]
    found: dict[str, str] = {}
    for folder in reversed(folders):
        for name in NAMES:
            if text := _read(folder / name, job.root):
                found.setdefault(text, name)
    return found


def _read(path: Path, root: Path) -> str | None:
    """What is in a file of the project. A link out of it is not followed: what it led to would be told."""
    real = Path(os.path.realpath(path))
    with suppress(OSError):
        if root in real.parents and stat.S_ISREG(real.stat().st_mode):
            with real.open("rb") as file:
                return file.read(MAX_BYTES).decode("utf-8", "replace").strip() or None
    return None
