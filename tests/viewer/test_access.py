"""Who may ask, who may change something, and what every answer carries."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.viewer.machine import Machine
from viewer import access

OWN = "127.0.0.1:5001"
CONFIGURED = access.parse_origins("https://Laptop.example:443/, http://192.168.1.20:5001")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:5001", "localhost", "localhost:80"])
def test_the_viewer_answers_to_its_own_names(host: str) -> None:
    assert access.origins_at(host) == {f"http://{host}"}


@pytest.mark.parametrize(
    ("host", "origin"),
    [("laptop.example", "https://laptop.example"), ("192.168.1.20:5001", "http://192.168.1.20:5001")],
)
def test_it_answers_to_configured_names_with_their_scheme_and_port(host: str, origin: str) -> None:
    assert access.origins_at(host, CONFIGURED) == {origin}
    assert access.origins_at(host) == set()


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
        "laptop.example:5001",
        "laptop.example.evil.example",
        "192.168.1.20",
        "192.168.1.2:5001",
    ],
)
def test_other_names_that_point_here_are_refused(host: str | None) -> None:
    assert access.origins_at(host, CONFIGURED) == set()


@pytest.mark.parametrize(
    "text",
    [
        "laptop.example", "ftp://laptop.example", "https://laptop.example/t", "https://user@laptop.example",
        "https://*", "https://laptop.example:0", "https://laptop.example:99999", "https://[::1]", "https://",
        "https://laptop.example?x", "https://laptop.example.", "https://läptop.example",
    ],
)  # fmt: skip
def test_what_is_no_origin_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write addresses as https://"):
        access.parse_origins(text)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1"])
def test_a_browser_on_this_machine_is_local(peer: str) -> None:
    assert access.is_local(peer, OWN, ["Host", "Accept"])


@pytest.mark.parametrize(
    ("peer", "host", "header"),
    [
        ("192.168.1.7", OWN, "Accept"),  # says that it called 127.0.0.1
        ("172.17.0.1", "localhost:5001", "Accept"),  # came through a container's port
        ("127.0.0.1", "laptop.example", "Accept"),  # came through a proxy here
        ("127.0.0.1", OWN, "X-Forwarded-For"),  # the same, with a forged name
        ("127.0.0.1", OWN, "Tailscale-User-Login"),
        ("127.0.0.1", OWN, "forwarded"),
        ("", OWN, "Accept"),
        (None, OWN, "Accept"),
        ("somebody", OWN, "Accept"),
    ],
)
def test_whoever_comes_from_elsewhere_is_not(peer: str | None, host: str, header: str) -> None:
    assert not access.is_local(peer, host, [header])


@pytest.mark.parametrize("path", ["/", "/t/a-1", "/?status=failed&before=3"])
def test_a_sign_in_goes_on_to_a_page_of_ours(path: str) -> None:
    assert access.inner_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "t/a",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "https://evil.example",
        "/" + "x" * 999,
        "/a b",
    ],
)
def test_and_never_elsewhere(path: str) -> None:
    assert access.inner_path(path) == "/"


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        (f"http://{OWN}", None),  # Safari before 16.4, and plain HTTP
        (f"http://{OWN}", "same-origin"),
        (None, "same-origin"),
    ],
)
def test_pages_of_the_viewer_may_change_something(origin: str | None, site: str | None) -> None:
    assert access.sender_refusal("POST", access.origins_at(OWN), origin, site) is None


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
        ("https://laptop.example", "same-origin"),  # ours, but not this page's
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
    assert access.sender_refusal(method, access.origins_at(OWN, CONFIGURED), origin, site)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_needs_no_origin(method: str) -> None:
    assert access.sender_refusal(method, access.origins_at(OWN), "https://evil.example", "cross-site") is None


def test_a_rebound_name_gets_nothing_not_even_a_file(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(returncode=1)
    for path in ("/", "/api/tasks", f"/t/{task.id}", f"/t/{task.id}/raw", "/static/viewer.js", "/nowhere"):
        answer = client.get(path, headers={"Host": "evil.example:5001"})
        assert answer.status_code == 400
        assert "does not know the name by which you called it" in answer.text
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
        assert page.count("<script") == page.count("<script src=") == 1
        assert "//" not in page.replace("<!doctype html>", "")


def test_a_header_that_plain_http_has_no_use_for_is_left_out_there_only() -> None:
    lan, encrypted = CONFIGURED[1], CONFIGURED[0]
    assert set(access.HEADERS) - set(access.headers_at(frozenset({lan}))) == {"Cross-Origin-Opener-Policy"}
    for own in ({encrypted}, {f"http://{OWN}"}, {"http://localhost"}, set()):
        assert access.headers_at(frozenset(own)) == access.HEADERS
