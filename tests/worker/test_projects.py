"""From what a caller says to a directory (the table of what must be accepted and refused)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.names import spoken_key
from worker.policy import Policy, Project, Rejected
from worker.projects import resolve


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Projects api and web, their neighbours, and links in all directions."""
    for folder in ("api/src/deep", "api/.git", "web", "api-evil", "outside", "web/nested"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "api" / "file.txt").write_text("x")
    (tmp_path / "outside" / "secret").write_text("x")
    for name, target in (
        ("out", "../outside"),
        ("in", "src"),
        ("loop", "loop"),
        ("hid", ".git"),
        ("up", ".."),
    ):
        (tmp_path / "api" / name).symlink_to(target)
    return tmp_path


def test_a_project_that_cannot_even_be_looked_for_stops_no_other(home: Path) -> None:
    api, far = Project(path=str(home / "api")), Project(path="/" + "x" * 300)
    policy = Policy(version=1, projects={"far": far, "api": api})
    assert place(policy, home, None, "HOME/api/src") == "api:src"
    with pytest.raises(Rejected, match="is not there"):
        resolve(policy, "far", None)


@pytest.fixture
def policy(home: Path) -> Policy:
    return Policy(
        version=1,
        projects={
            "api": Project(path=str(home / "api"), aliases=("The A P I", "back-end")),
            "web": Project(path=str(home / "web")),
            "nested": Project(path=str(home / "web" / "nested"), aliases=("inner web",)),
            "gone": Project(path=str(home / "gone")),
        },
    )


def place(policy: Policy, home: Path, project: str | None, working_dir: str | None) -> str:
    if working_dir is not None:
        working_dir = working_dir.replace("HOME", str(home))
    found = resolve(policy, project, working_dir)
    assert found.directory.is_relative_to(found.root)
    assert found.project is policy.projects[found.name]
    return f"{found.name}:{found.directory.relative_to(found.root)}"


@pytest.mark.parametrize(
    ("project", "working_dir", "expected"),
    [
        ("api", None, "api:."), ("API", None, "api:."), ("the a p i", None, "api:."),
        ("Back End", None, "api:."),
        ("  back_end ", None, "api:."), ("\uff21\uff30\uff29", None, "api:."), ("api", ".", "api:."),
        ("api", "src", "api:src"),
        ("api", "src/deep", "api:src/deep"), ("api", "src/.", "api:src"), ("api", "in", "api:src"),
        ("api", "src//deep/", "api:src/deep"), ("api", "HOME/api", "api:."),
        ("api", "HOME/api/src", "api:src"),
        (None, "HOME/api/src", "api:src"), (None, "HOME/api/", "api:."), (None, "HOME/web", "web:."),
        (None, "HOME/web/nested", "nested:."), ("web", "HOME/web/nested", "web:nested"),
        ("web", "nested", "web:nested"),
    ],
)  # fmt: skip
def test_these_are_accepted(
    policy: Policy, home: Path, project: str | None, working_dir: str | None, expected: str
) -> None:
    assert place(policy, home, project, working_dir) == expected


@pytest.mark.parametrize(
    ("project", "working_dir"),
    [
        ("api", "out"), ("api", "HOME/api/out"), (None, "HOME/api/out"), ("api", "out/secret"), ("api", "up"),
        ("api", "../web"), ("api", "src/../../web"), ("api", ".."), ("api", "in/../x"), ("api", "src/.."),
        (None, "HOME/api-evil"), ("api", "HOME/api-evil"), (None, "HOME"), (None, "/"), (None, "//"),
        ("api", "/"),
        ("api", "//"), ("api", "/proc/self/root"), ("api", "~"), ("api", "~/x"), ("api", "$HOME"),
        ("api", "src$x"),
        ("api", ""), ("api", "a\x00b"), ("api", "a\nb"), ("api", "\ud800"), ("api", "\x1b[31m"),
        ("api", "loop"), ("api", "file.txt"),
        ("api", "missing"), ("api", "x" * 300), ("api", ".git"), ("api", "hid"), ("api", "HOME/web"),
        ("gone", None), ("gone", "src"), ("unknown", None), ("", None), (None, None), (None, "src"),
        (None, "/etc"), (None, "/proc/self/fd"), ("web", "HOME/api/src"),
    ],
)  # fmt: skip
def test_these_are_refused_with_a_sentence(
    policy: Policy, home: Path, project: str | None, working_dir: str | None
) -> None:
    with pytest.raises(Rejected) as why:
        place(policy, home, project, working_dir)
    assert len(str(why.value)) > 20


def test_the_refusal_names_what_there_is(policy: Policy, home: Path) -> None:
    for project in ("unknown", None):
        with pytest.raises(Rejected, match="api, gone, nested, web"):
            resolve(policy, project, None)


@pytest.mark.parametrize("outside", ["HOME/nowhere/at/all", "HOME", "/etc/passwd", "/no/such/place"])
def test_a_directory_elsewhere_is_answered_alike_whether_it_is_there_or_not(
    policy: Policy, home: Path, outside: str
) -> None:
    with pytest.raises(Rejected) as why:
        place(policy, home, None, outside)
    assert str(why.value).endswith(" lies in no project; this machine knows api, gone, nested, web")
    with pytest.raises(Rejected, match=r"There is no directory .*missing in project api"):
        place(policy, home, None, "HOME/api/missing")


def test_one_project_need_not_be_named(home: Path) -> None:
    policy = Policy(version=1, projects={"api": Project(path=str(home / "api"))})
    assert place(policy, home, None, None) == "api:."
    assert place(policy, home, None, "src") == "api:src"


def test_an_alias_that_means_two_projects_is_asked_back(home: Path) -> None:
    policy = Policy(
        version=1,
        projects={
            "api": Project(path=str(home / "api"), aliases=("site",)),
            "web": Project(path=str(home / "web"), aliases=("Site",)),
        },
    )
    with pytest.raises(Rejected, match="api or web"):
        resolve(policy, "site", None)


def test_a_project_may_be_written_through_a_link_and_with_a_tilde(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "link").symlink_to("api")
    monkeypatch.setenv("HOME", str(home))
    for path in (str(home / "link"), "~/api"):
        policy = Policy(version=1, projects={"api": Project(path=path)})
        assert resolve(policy, "api", "src").directory == home / "api" / "src"
        assert resolve(policy, None, str(home / "api")).root == home / "api"


def test_a_directory_that_became_a_link_is_refused_at_the_next_look(policy: Policy, home: Path) -> None:
    assert place(policy, home, "api", "src") == "api:src"
    (home / "api" / "src").rename(home / "api" / "old")
    (home / "api" / "src").symlink_to(home / "outside")
    with pytest.raises(Rejected, match="outside project"):
        resolve(policy, "api", "src")


@given(st.text(max_size=40))
def test_what_is_spoken_is_compared_without_case_and_spacing(name: str) -> None:
    assert spoken_key(spoken_key(name)) == spoken_key(name)
    assert spoken_key(f"  {name.upper()}  ") == spoken_key(name.upper())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    project=st.none() | st.sampled_from(["api", "web", ""]),
    working_dir=st.text(max_size=60)
    | st.lists(st.sampled_from(["..", ".", "/", "//", "~", "src", "out", "in", "up", "\ud800", "HOME"])).map(
        "/".join
    ),
)
def test_whatever_is_asked_the_answer_is_a_place_inside_or_a_refusal(
    policy: Policy, home: Path, project: str | None, working_dir: str
) -> None:
    try:
        found = resolve(policy, project, working_dir.replace("HOME", str(home)))
    except Rejected:
        return
    assert found.directory.is_dir()
    assert found.directory == found.root or found.root in found.directory.parents
    assert os.path.realpath(found.directory) == str(found.directory)
