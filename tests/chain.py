"""The real thing for end-to-end tests: four processes, a git repository, ports of the system's choice."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import httpx

ROOT = Path(__file__).resolve().parent.parent
API_KEY = "fake-api-key-for-tests-0000"
MACHINE_KEY = "fake-machine-key-for-tests-0000"
GITHUB_SECRET = "fake-github-secret-for-tests"
PARTS = ("relay", "listener", "worker", "viewer")


def wait_until(claim: Callable[[], Any], what: str, seconds: float = 20, *, look: float = 0.02) -> Any:
    """The first true answer of *claim*, which is asked every *look* seconds; fails with *what* when
    there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := claim():
            return answer
        time.sleep(look)
    raise AssertionError(f"not within {seconds} seconds: {what}")


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def git(folder: Path, *words: str) -> None:
    """Run git in *folder*, as somebody whose own configuration does not matter."""
    identity = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.invalid"}
    identity |= {"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.invalid"}
    everything = {
        **os.environ,
        **identity,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }
    subprocess.run(["git", *words], cwd=folder, env=everything, check=True, capture_output=True)


def make_project(folder: Path) -> Path:
    """A small repository with one commit, a changed file and a new one."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "docs").mkdir()
    (folder / "docs" / "note.txt").write_text("one\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin with a note")
    (folder / "docs" / "note.txt").write_text("two\n")
    (folder / "new.txt").write_text("new\n")
    return folder


class Chain:
    """Relay, listener, worker and viewer in one folder; each can be killed and started again."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """*settings* are added to `.env`."""
        self.folder = folder
        self.environment: dict[str, dict[str, str]] = {}
        self.launcher = ["-m"]
        self.project = make_project(folder / "project")
        self.relay_port, self.viewer_port = free_port(), free_port()
        self.relay = f"http://127.0.0.1:{self.relay_port}"
        self.viewer = f"http://127.0.0.1:{self.viewer_port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._write_settings(settings)
        self._http = httpx.Client(timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._http.close()

    def _write_settings(self, more: dict[str, str]) -> None:
        settings = {
            "API_KEY": f"phone={API_KEY}", "MACHINE_KEY": MACHINE_KEY, "GITHUB_WEBHOOK_SECRET": GITHUB_SECRET,
            "PORT": self.relay_port, "VIEWER_PORT": self.viewer_port, **more,
        }  # fmt: skip
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (self.folder / ".env").write_text("".join(lines))
        (self.folder / "policy.toml").write_text(
            f'version = 1\n[projects.ai-webhook]\npath = "{self.project}"\n'
            'git = "write"\nshell = "full"\nclaude = ["review", "ask", "edit"]\nparallel = true\n'
        )

    def start(self, *parts: str) -> None:
        """Start these parts (default: all) and wait until each can be seen working."""
        for part in parts or PARTS:
            self.spawn(part)
        self.wait_for(*(parts or PARTS))

    def spawn(self, part: str) -> None:
        """Start one part without waiting; `environment[part]` is added to what it sees."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with (self.folder / f"{part}.log").open("ab") as log:
            self.processes[part] = subprocess.Popen(
                [sys.executable, *self.launcher, part], cwd=self.folder,
                env={**environment, **self.environment.get(part, {})},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait_for(self, *parts: str) -> None:
        """Wait until each of these can be seen working."""
        for part in parts:
            wait_until(lambda part=part: self._is_up(part), f"{part} is up; {self.log(part)}")

    def kill(self, *parts: str) -> None:
        """SIGKILL, as if the power went."""
        for part in parts:
            process = self.processes.pop(part)
            process.kill()
            process.wait()

    def stop(self) -> dict[str, int]:
        """SIGTERM to all; their exit statuses. Kills what does not listen, and fails then."""
        for process in self.processes.values():
            process.terminate()
        late = []
        for part, process in self.processes.items():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                late.append(part)
                process.kill()
                process.wait()
        assert not late, f"{late} did not stop within 10 seconds"
        return {part: process.returncode for part, process in self.processes.items()}

    def log(self, part: str) -> str:
        path = self.folder / f"{part}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _is_up(self, part: str) -> bool:
        assert self.processes[part].poll() is None, f"{part} ended: {self.log(part)}"
        try:
            if part == "viewer":
                return self._http.get(f"{self.viewer}/api/tasks").status_code == 200
            if part == "worker":
                return "The worker runs" in self.log("worker")
            health = self._http.get(self.relay).json()
        except httpx.TransportError:
            return part == "listener" and "Not connected" in self.log(part)
        return part == "relay" or health["connected_clients"] == 1

    def post(
        self, payload: Any, *, wait: float = 30, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """POST to the relay; *payload* is sent as JSON, or as it is when it is bytes."""
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        named = {"X-API-Key": API_KEY} if headers is None else headers
        return self._http.post(f"{self.relay}/webhook", params={"wait": wait}, content=raw, headers=named)

    def command(
        self, action_type: str, params: dict[str, Any], *, wait: float = 30, **more: Any
    ) -> dict[str, Any]:
        """Post one command; the task as the relay answers it."""
        data = {"action_type": action_type, "params": params, **more}
        answer = self.post({"type": "task_command", "data": data}, wait=wait)
        assert answer.status_code in {200, 202}, answer.text
        return dict(answer.json())

    def task(self, task_id: str, wait: float = 0) -> dict[str, Any]:
        """The task as the relay knows it."""
        url = f"{self.relay}/tasks/{task_id}"
        return dict(self._http.get(url, params={"wait": wait}, headers={"X-API-Key": API_KEY}).json())

    def final(self, task_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Wait for all of these to be final; id → task."""
        return {
            one: wait_until(
                lambda one=one: (t := self.task(one, 20))["completed_at"] and t, f"{one} is final", 60
            )
            for one in task_ids
        }

    def get(self, url: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self._http.get(url, headers=headers)

    def order(self, task_id: str, order: str, wait: float = 0) -> httpx.Response:
        """`cancel` or `retry` at the relay."""
        url = f"{self.relay}/tasks/{task_id}/{order}"
        return self._http.post(url, params={"wait": wait}, headers={"X-API-Key": API_KEY})

    def run_again(self, task_id: str) -> httpx.Response:
        """What the button in the viewer does."""
        return self.press(f"/t/{task_id}/retry")

    def press(self, path: str, data: dict[str, str] | None = None) -> httpx.Response:
        """Post a form of the viewer, in a browser that has been connected."""
        self.sign_in()
        return self._http.post(f"{self.viewer}{path}", data=data, headers={"Origin": self.viewer})

    def sign_in(self) -> None:
        """Connect this browser by the link that the viewer printed, unless it is connected."""
        if "ai_webhook" not in str(self._http.cookies):
            self.connect_browser(re.findall(r"login\?code=(\S+)", self.log("viewer"))[-1])

    def connect_browser(self, code: str) -> None:
        """Sign in with *code*, as the page behind the printed link does."""
        answer = self._http.post(f"{self.viewer}/login", data={"code": code}, headers={"Origin": self.viewer})
        assert answer.status_code == 303, answer.text


def children_of(pid: int) -> set[int]:
    """Every descendant of *pid*, by /proc."""
    found: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found |= {int(folder.name)} | children_of(int(folder.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether *pid* runs; a zombie does not."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def end(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    """Make sure that *process* is gone."""
    if process.poll() is None:
        process.send_signal(number)
    process.wait(10)
