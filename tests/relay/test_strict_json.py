"""JSON from strangers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.strict_json import MAX_DEPTH, BadJSON, parse_json

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b'{"a": "\xc3\x28"}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1} x', "not JSON"),
        (b"[1]", "list"),
        (b"null", "NoneType"),
        (b'"text"', "str"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": -1' + b"0" * 400 + b".0}", "too large"),
        (b'{"a": 1, "a": 2}', "'a' twice"),
        (b'{"x": {"a": 1, "b": 2, "a": 3}}', "'a' twice"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'{"a": "\xed\xa0\x80"}', "surrogate"),
        ('{"a": "\\ud800"}'.encode("utf-16"), "surrogate"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a": ["\\u0000"]}', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'{"a": 9223372036854775808}', "64 bits"),
        (b'{"a": -9223372036854775809}', "64 bits"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "64 bits"),
        (b"[" * 100_000, "nests"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nests"),
        (b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH, "nests"),
        (b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"1" + b"]" * (MAX_DEPTH - 1) + b"}", "nests"),
    ],
)
def test_what_the_chain_cannot_carry_is_refused_with_the_reason(text: bytes, why: str) -> None:
    with pytest.raises(BadJSON, match=why) as refused:
        parse_json(text)
    assert len(str(refused.value)) < 300


def test_a_long_name_that_comes_twice_is_not_repeated_in_full() -> None:
    name = "long" * 100_000
    with pytest.raises(BadJSON) as refused:
        parse_json(f'{{"{name}": 1, "{name}": 2}}')
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ('{"a": 9223372036854775807, "b": -9223372036854775808}', {"a": 2**63 - 1, "b": -(2**63)}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        ('{"a": "' + "{[" * MAX_DEPTH + '"}', {"a": "{[" * MAX_DEPTH}),
        ('{"a": [true, false, null, 1.5, ""]}', {"a": [True, False, None, 1.5, ""]}),
    ],
)
def test_what_json_allows_is_read(text: str, value: object) -> None:
    assert parse_json(text) == value


def test_nesting_up_to_the_limit_is_read() -> None:
    depth = MAX_DEPTH - 1
    assert parse_json('{"a":' * depth + "1" + "}" * depth)


@given(st.dictionaries(TEXT, VALUES))
def test_every_ordinary_object_comes_back_as_it_was(value: dict[str, object]) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


def _object_or_reason(text: bytes | str) -> object:
    try:
        return parse_json(text)
    except BadJSON as problem:
        return str(problem)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_nothing_but_badjson_is_ever_raised(text: bytes | str) -> None:
    assert isinstance(_object_or_reason(text), dict | str)


@given(
    VALUES.map(json.dumps), st.integers(0, 200), st.sampled_from(['"', "{", "}", "\\u0000", "NaN", "1" * 30])
)
def test_nothing_but_badjson_is_raised_for_nearly_right_json(text: str, at: int, odd: str) -> None:
    assert isinstance(_object_or_reason('{"a": ' + text[:at] + odd + text[at:] + "}"), dict | str)
