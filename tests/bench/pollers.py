"""Many open pages: each asks over a kept-open connection at its own pace, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

from tests.chain import ROOT


def run(port: int, paths: list[str], *, pages: int, every: float, seconds: float) -> list[float]:
    """Milliseconds of each answer while *pages* ask for one of *paths* *every* so many seconds."""
    order = json.dumps([port, paths, pages, every, seconds])
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.pollers", order],
        cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=seconds + 60,
    )  # fmt: skip
    return list(json.loads(done.stdout))


async def _page(port: int, path: str, every: float, begin: float, end: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    taken = []
    at = begin
    while at < end:
        await asyncio.sleep(at - time.perf_counter())
        sent = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
        await reader.readexactly(length)
        taken.append((time.perf_counter() - sent) * 1_000)
        at = max(at + every, time.perf_counter())
    writer.close()
    return taken


async def _main(port: int, paths: list[str], pages: int, every: float, seconds: float) -> list[float]:
    begin = time.perf_counter() + 1
    each = (
        _page(port, paths[n % len(paths)], every, begin + every * n / pages, begin + seconds)
        for n in range(pages)
    )
    return [one for taken in await asyncio.gather(*each) for one in taken]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_main(*json.loads(sys.argv[1])))))
