"""What an assistant changed, on the page of its task."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.viewer.machine import Machine

PATCH = """diff --git a/x.py b/x.py
--- a/x.py
+++ b/x.py
@@ -1 +1 @@
-old <b>
+new \x1b[8m& hidden\x1b[0m\rshown
 same
"""


def page(client: FlaskClient, machine: Machine, **result: Any) -> str:
    task = machine.ended(output_data={"stdout": "", **result})
    return client.get(f"/t/{task.id}").text


def test_a_patch_is_shown_with_its_colours_and_hides_nothing(client: FlaskClient, machine: Machine) -> None:
    shown = page(client, machine, patch=PATCH, files_changed=["x.py"], branch="agent/1")
    assert "<summary>Changes in 1 file</summary>" in shown
    assert "on the branch <code>agent/1</code>" in shown
    assert '<span class="f1">-old &lt;b&gt;</span>' in shown
    assert '<span class="f2">+new &amp; hiddenshown</span>' in shown
    assert '<span class="o">--- a/x.py</span>' in shown


@pytest.mark.parametrize("patch", [None, "", 7])
def test_where_nothing_changed_nothing_is_said(client: FlaskClient, machine: Machine, patch: Any) -> None:
    assert "Changes in" not in page(client, machine, patch=patch, files_changed=[])
