"""Who may ask, who may change something, and what every answer carries."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.viewer.machine import Machine
from viewer import access

OWN = "127.0.0.1:5001"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:5001", "localhost", "localhost:80"])
def test_the_viewer_answers_to_its_own_names(host: str) -> None:
    assert access.host_refusal(host) is None


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:5001",
        "evil.example:5001, localhost",
        "localhost:",
        "localhost:port",
        "localhost:5001\n",
        "[::1]:5001",
        "0.0.0.0:5001",
        "user@localhost",
    ],
)
def test_other_names_that_point_here_are_refused(host: str | None) -> None:
    assert access.host_refusal(host)


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        (f"http://{OWN}", None),  # Safari before 16.4, and plain HTTP
        (f"http://{OWN}", "same-origin"),
        (None, "same-origin"),
    ],
)
def test_pages_of_the_viewer_may_change_something(origin: str | None, site: str | None) -> None:
    assert access.sender_refusal("POST", OWN, origin, site) is None


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        (None, None),
        ("https://evil.example", "cross-site"),
        ("https://evil.example", None),
        ("http://127.0.0.1:8080", "same-site"),
        ("http://127.0.0.1:8080", None),
        ("http://127.0.0.1:50011", None),
        (f"https://{OWN}", "same-origin"),
        ("http://localhost:5001", "same-site"),
        ("null", None),
        ("null", "same-origin"),
        ("", ""),
        (f"http://{OWN}", "cross-site"),
        (f"http://{OWN}", "none"),
        (None, "none"),
        (None, "same-site"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "ANYTHING"])
def test_nobody_else_may(method: str, origin: str | None, site: str | None) -> None:
    assert access.sender_refusal(method, OWN, origin, site)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_needs_no_origin(method: str) -> None:
    assert access.sender_refusal(method, OWN, "https://evil.example", "cross-site") is None


def test_a_rebound_name_gets_nothing_not_even_a_file(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(returncode=1)
    for path in ("/", "/api/tasks", f"/t/{task.id}", f"/t/{task.id}/raw", "/static/viewer.js", "/nowhere"):
        answer = client.get(path, headers={"Host": "evil.example:5001"})
        assert answer.status_code == 400
        assert "127.0.0.1 and localhost only" in answer.text
        assert task.preview not in answer.text


def test_a_post_without_origin_is_refused_with_one_sentence(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(returncode=1)
    answer = client.post(f"/t/{task.id}/retry")
    assert answer.status_code == 403
    assert "Send an Origin header with the viewer&#39;s own address, http://localhost." in answer.text


def test_a_method_cannot_be_smuggled_in_a_header(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(returncode=1)
    client.get(
        f"/t/{task.id}/retry", headers={"X-HTTP-Method-Override": "POST", "Origin": "http://localhost"}
    )
    assert client.get(f"/api/task/{task.id}").json["status"] == "failed"


def test_every_answer_carries_the_headers(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(returncode=1, printed="x")
    paths = [
        "/",
        "/nowhere",
        "/api/tasks",
        "/live",
        f"/t/{task.id}",
        f"/t/{task.id}/raw",
        "/static/viewer.css",
    ]
    for answer in [
        *(client.get(path) for path in paths),
        client.post("/"),
        client.get("/", headers={"Host": "x"}),
    ]:
        for name, value in access.HEADERS.items():
            assert answer.headers[name] == value
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"]


def test_pages_may_be_kept_for_the_back_button_and_downloads_may_not(
    client: FlaskClient, machine: Machine
) -> None:
    task = machine.ended(printed="x")
    assert client.get("/").headers["Cache-Control"] == "private, no-cache"
    assert client.get(f"/t/{task.id}/raw").headers["Cache-Control"] == "no-store"


def test_static_files_are_kept_for_as_long_as_their_address_lasts(client: FlaskClient) -> None:
    page = client.get("/").text
    address = page.split('<link rel="stylesheet" href="')[1].split('"')[0]
    assert "immutable" in client.get(address).headers["Cache-Control"]
    assert "immutable" not in client.get("/static/viewer.css").headers["Cache-Control"]


def test_no_page_has_inline_script_or_style_or_another_host(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(returncode=1, printed="x")
    machine.event()
    for path in ("/", "/events", f"/t/{task.id}", f"/t/{task.id}/retry", "/nowhere"):
        page = client.get(path).text
        assert " style=" not in page
        assert " onclick=" not in page
        assert "<style" not in page
        assert page.count("<script") == page.count("<script src=") == 3
        assert "//" not in page.replace("<!doctype html>", "")
