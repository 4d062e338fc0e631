"""Answers travel compressed, and a phone may keep the viewer on its home screen."""

from __future__ import annotations

import gzip
import re

from flask.testing import FlaskClient

from tests.viewer.machine import Machine

ASKED = {"Accept-Encoding": "gzip, br"}


def test_pages_and_assets_are_compressed_for_those_who_take_it(client: FlaskClient, machine: Machine) -> None:
    plain = client.get("/")
    packed = client.get("/", headers=ASKED)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 2
    assert b"No tasks yet" in gzip.decompress(packed.data)
    for path in re.findall(r'(?:href|src)="(/static/[^"]+\.(?:css|js)\?v=\w+)"', plain.text):
        asset = client.get(path, headers=ASKED)
        assert gzip.decompress(asset.data) == client.get(path).data


def test_downloads_and_small_answers_stay_as_they_are(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(printed="x" * 10_000)
    assert client.get(f"/t/{task.id}/raw", headers=ASKED).data == b"x" * 10_000
    assert "Content-Encoding" not in client.get("/live", headers=ASKED).headers


def test_a_cold_list_fits_in_fifteen_kilobytes(client: FlaskClient, machine: Machine) -> None:
    for number in range(35):
        machine.ended(
            f"make target-{number}", title=f"Fix the failing timezone test number {number} in billing-api"
        )
    page = client.get("/")
    assets = {*re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)} - {
        *re.findall(r'"(/static/icon-[^"]+)"', page.text)
    }
    sizes = {path: len(client.get(path, headers=ASKED).data) for path in ("/", *assets)}
    assert len(assets) == 3
    assert sum(sizes.values()) <= 15 * 1024, sizes


def test_the_manifest_names_icons_that_exist(client: FlaskClient) -> None:
    manifest = client.get("/manifest.webmanifest")
    assert manifest.content_type == "application/manifest+json"
    assert {icon["sizes"] for icon in manifest.json["icons"]} == {"any", "192x192", "512x512"}
    for icon in manifest.json["icons"]:
        assert client.get(icon["src"]).status_code == 200
