"""`make conformance`: the relay against the tools that the protocol's own people have made.

The inspector lists and judges the tools in both eras, the conformance suite runs every scenario of
two revisions and those for an authorization server. They are npm packages, installed outside of the
checkout at the first run; `make test` does without them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from unittest import mock

import httpx

from relay import app as relay_app
from tests.chain import API_KEY, free_port
from tests.relay import conftest
from tests.relay.assistants import GARDEN, HOUSE
from tests.relay.conftest import Served
from tests.relay.signing_in import App, query

PACKAGES = (
    "node@22",
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
    "@modelcontextprotocol/inspector@2.12.0",
)
REVISIONS = ("2026-07-28", "2025-11-25")
# Each of these asks for a tool, a prompt or a resource of the suite's own ("test_image_content"), or
# for what a relay for phones has no use for: completion, logging, subscriptions, questions back to
# the user. The suite fails when one of them passes, so the list cannot grow old.
NEEDS_A_FIXTURE = {
    "2026-07-28": (
        "server-stateless:sep-2575-server-rejects-undeclared-capability",
        "server-stateless:sep-2575-missing-capability-http-400",
        "http-custom-header-server-validation",
        "input-required-result-basic-elicitation", "input-required-result-basic-list-roots",
        "input-required-result-basic-sampling", "input-required-result-capability-check",
        "input-required-result-missing-input-response",
        "input-required-result-multi-round", "input-required-result-multiple-input-requests",
        "input-required-result-non-tool-request", "input-required-result-request-state",
        "input-required-result-result-type", "input-required-result-tampered-state",
        "input-required-result-validate-input",
    ),
    "2025-11-25": (
        "elicitation-sep1034-defaults", "elicitation-sep1330-enums", "logging-set-level",
        "resources-subscribe", "resources-unsubscribe", "server-sse-polling",
        # A warning: without sessions there is no session id.
        "server-sse-multiple-streams:server-sse-multiple-streams-session",
        "tools-call-elicitation", "tools-call-sampling", "tools-call-with-logging",
    ),
}  # fmt: skip
IN_BOTH = (
    "completion-complete", "json-schema-2020-12", "prompts-get-embedded-resource", "prompts-get-simple",
    "prompts-get-with-args", "prompts-get-with-image", "resources-read-binary", "resources-read-text",
    "resources-templates-read", "tools-call-audio", "tools-call-embedded-resource", "tools-call-image",
    "tools-call-mixed-content", "tools-call-with-progress",
)  # fmt: skip


def main() -> None:
    """Run everything; exit 1 when anything is not as it should be."""
    programs = _install()
    with tempfile.TemporaryDirectory() as folder, _relay(Path(folder)) as relay:
        results = {**_inspect(programs, relay), **_conform(programs, relay, Path(folder))}
        results |= _authorize(programs, relay)
    for what, is_good in results.items():
        print(f"{'passed' if is_good else 'FAILED'}  {what}")
    sys.exit(not all(results.values()))


def _install() -> Path:
    """The folder with the programs of PACKAGES."""
    place = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ai-webhook" / "conformance"
    programs = place / "node_modules" / ".bin"
    if not (programs / "conformance").exists():
        print("Installing the conformance suite and the inspector ...")
        quiet = ["--no-audit", "--no-fund", "--silent"]
        subprocess.run(["npm", "install", "--prefix", place, *quiet, *PACKAGES], check=True)
    return programs


@contextmanager
def _relay(folder: Path) -> Iterator[Served]:
    """A relay whose /mcp needs no key, because the suite cannot send one, and a machine that sleeps."""

    def create_app(*settings: Any) -> Any:
        app = relay_app.create_app(*settings)

        async def with_key(scope: Any, receive: Any, send: Any) -> None:
            if scope.get("path") == "/mcp" and not dict(scope["headers"]).get(b"authorization"):
                key = (b"authorization", f"Bearer {API_KEY}".encode())
                scope = {**scope, "headers": [*scope["headers"], key]}
            await app(scope, receive, send)

        return with_key

    with mock.patch.object(conftest, "create_app", create_app), conftest.serve(folder) as relay:
        with relay.machine(greet=False) as machine:
            machine.greet(projects=[GARDEN, HOUSE])
        yield relay


def _run(programs: Path, *words: str) -> tuple[int, str]:
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [programs / words[0], *words[1:]],
        env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def _inspect(programs: Path, relay: Served) -> dict[str, bool]:
    """The inspector finds nothing to complain about, and asks for a login where one is needed."""
    results = {}
    for era in ("legacy", "modern", "auto"):
        for key, expected in ((API_KEY, 0), ("fake-wrong-key-0000", 3)):
            status, said = _run(
                programs, "mcp-inspector", "--cli", f"{relay.address}/mcp", "--transport", "http", "--strict",
                "--header", f"Authorization: Bearer {key}", "--protocol-era", era, "--method", "tools/list",
            )  # fmt: skip
            if status != expected:
                print(said)
            what = "tools/list --strict" if expected == 0 else "a wrong key leads to a login"
            results[f"inspector, {era}: {what}"] = status == expected
    return results


def _conform(programs: Path, relay: Served, folder: Path) -> dict[str, bool]:
    results = {}
    for revision in REVISIONS:
        expected = folder / f"{revision}.yml"
        names = [*IN_BOTH, *NEEDS_A_FIXTURE[revision]]
        expected.write_text("server:\n" + "".join(f"  - {name}\n" for name in names))
        status, said = _run(
            programs, "conformance", "server", "--url", f"{relay.address}/mcp", "--suite", "all",
            "--spec-version", revision, "--expected-failures", str(expected),
        )  # fmt: skip
        print(said[said.find("=== SUMMARY ===") :] if status == 0 else said)
        results[f"conformance of a server, {revision}"] = status == 0
    return results


def _authorize(programs: Path, relay: Served) -> dict[str, bool]:
    """The scenarios of an authorization server, with somebody who plays owner and browser."""
    port = free_port()
    app = App(relay, redirect=f"http://127.0.0.1:{port}/callback", name="Conformance")
    app.register()
    words = [
        "authorization", "--url", relay.address, "--client-id", app.client["client_id"], "-p", str(port),
        "--resource", f"{relay.address}/mcp",
    ]  # fmt: skip
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(
        [programs / "conformance", *words], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    link, said = "", []
    for line in process.stdout:
        said.append(line)
        if line.startswith(f"{relay.address}/authorize"):
            link = line.strip()
        if line.startswith("Callback server started"):
            Thread(target=_answer, args=(app, link)).start()
    status = process.wait(60)
    print("".join(said[-6:]) if status == 0 else "".join(said))
    return {"conformance of an authorization server": status == 0}


def _answer(app: App, link: str) -> None:
    consent = app.http.get(link).headers["location"]
    httpx.get(app.answer(query(consent)["txn"]).headers["location"], trust_env=False)


if __name__ == "__main__":
    main()
