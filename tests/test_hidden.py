"""Keys in the environment of a process are not there for the programs of the same user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chain import API_KEY, MACHINE_KEY, ROOT, end, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has PR_SET_DUMPABLE")

# Root may read everything, so a test that runs as root becomes somebody else, who cannot import any
# more: main() begins as ever, and only what it would then do is left out.
CODE = """
import ctypes, os, sys, threading
sys.path.insert(0, sys.argv[1])
import {name}.__main__ as main
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # Changing the user has hidden it already.
print(os.stat("/proc/self/environ").st_uid == os.getuid(), flush=True)
def wait(*_):
    print("begun", flush=True)
    threading.Event().wait()
main.{part} = wait
main.main()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may use."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize(
    ("name", "part"),
    [("relay", "create_app"), ("worker", "work"), ("listener", "listen"), ("viewer", "serve")],
)
def test_nobody_reads_the_environment_of_a_process_that_may_hold_a_key(
    folder: Path, name: str, part: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE.format(name=name, part=part), str(ROOT)],
        cwd=folder, env={**os.environ, "API_KEY": API_KEY, "MACHINE_KEY": MACHINE_KEY},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "True\n", "it was open to its own user before"
        assert process.stdout.readline() == "begun\n"
        environ = Path(f"/proc/{process.pid}/environ")
        wait_until(lambda: environ.stat().st_uid == 0, "it is hidden: it belongs to root")
    finally:
        end(process)
        process.stdout.close()
