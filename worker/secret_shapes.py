"""How secrets look that nobody told us: prefixes of tokens, and names whose value is a secret.

A shape that fits too much hides results from people. So each needs a prefix that nothing else has,
or a name and a value that stand as in a file of settings, a header or a URL, not as in code.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple
from urllib.parse import quote, quote_plus


class _Part(NamedTuple):
    """A piece of a shape, and what it never goes beyond: so many of these characters."""

    regex: str
    loose: str
    most: int


class _Shape(NamedTuple):
    """How a secret begins: as much of it as must be seen to know it.

    What stands *before* it (one of several, each of a fixed length) need not wait to be shown: it is
    looked behind for, from its last character on, the *anchor*; the rarer, the faster. The last of the
    *parts* is the secret; *more* is how it goes on."""

    anchor: str
    before: tuple[str, ...]
    parts: tuple[_Part, ...]
    more: str = ""
    near: str = ""  #: the end of everything that stands before: one look instead of many

    @property
    def behind(self) -> str:
        near = f"(?<={self.near})" if self.near else ""
        return f"{near}(?:{'|'.join(f'(?<={text})' for text in self.before)})"

    @property
    def whole(self) -> str:
        *shown, secret = (part.regex for part in self.parts)
        return f"{''.join(shown)}({secret})"

    @property
    def beginning(self) -> str:
        """What may become the whole, with whatever comes after the end of the text."""
        rest = ""
        for part in reversed(self.parts):
            rest = rf"(?:{part.loose}{{0,{part.most}}}\Z{rest and '|' + part.regex + rest})"
        return rest


def _some(characters: str, count: int) -> _Part:
    # One less: when all are there, it is a beginning no more.
    return _Part(f"{characters}{{{count}}}", characters, count - 1)


def _one(regex: str) -> _Part:
    return _Part(regex, ".", 0)


def _token(*before: str, characters: str, count: int, more: str = "") -> _Shape:
    anchor = before[0][-1]
    near = {"_": "[a-z]_", "-": "[a-zY1]-"}.get(anchor, "")
    return _Shape(anchor, before, (_some(characters, count),), f"{more or characters}*", near)


def _value(
    *before: str, near: str, after: tuple[_Part, ...] = (), characters: str = "", count: int = 8
) -> _Shape:
    """The value of a name. It begins like one, not like `$NAME`, `<your key>`, `(`, `==` or `[redacted]`."""
    first, rest = "[A-Za-z0-9/+_.~!@#^-]", characters or r"""[^\s"'`\\\x1b]"""
    secret = _Part(f"{first}{rest}{{{count - 1}}}", f"(?:{first}|{rest})", count - 1)
    return _Shape(near[-1], before, (*after, secret), f"{rest}*", near)


_ALNUM, _WORD, _BASE64 = "[A-Za-z0-9]", "[A-Za-z0-9_-]", "[A-Za-z0-9/+]"

# Not "task-"; but after \n in JSON, %20 in a URL, or a colour, a word begins as well.
_FRESH = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-F]{2})|(?<=[\[;]\dm)|(?<=[\[;]\d\dm))"

_TOKENS = (
    _token("gh[pousr]_", "npm_", "hf_", "gsk_", "dckr_pat_", "github_pat_", "[sr]k_(?:live|test)_",
           characters=_ALNUM, count=20, more="[A-Za-z0-9_]"),
    _token("whsec_", characters="[A-Za-z0-9/+=]", count=20),
    _token("gl(?:pat|ptt|cbt)-", "gl(?:dt|rt|ft)-", "sk-ant-", "sk-proj-", "sk-svcacct-", "sk-or-v1-",
           "xox[abeprs]-", "xapp-", "pypi-", "AGE-SECRET-KEY-", characters=_WORD, count=16),
    _token(_FRESH + "sk-", characters=_ALNUM, count=20),
    # The id of an AWS key; and the key, where it follows at once as in the file that AWS hands out.
    _Shape("I", (_FRESH + "A[KS]I",), (_one("A"), _some("[A-Z0-9]", 16)), "[A-Z0-9]*"),
    _token("A[KS]IA[A-Z0-9]{16},", characters=_BASE64, count=40),
    _token("A[KS]IA[A-Z0-9]{16}:", characters=_BASE64, count=40),
    _Shape("z", ("AIz",), (_one("a"), _some(_WORD, 35)), f"{_WORD}*"),  # Google
    # The head of a JSON Web Token tells no more than the algorithm; body and signature are hidden.
    _token(r"[A-Za-z0-9_-]\.eyJ", characters=_WORD, count=8, more="[A-Za-z0-9_.-]"),
)  # fmt: skip

_NAMES = (
    "TOKEN=", "SECRET=", "PASSWORD=", "PASSWD=", "CREDENTIALS=", "API_KEY=", "APIKEY=", "ACCESS_KEY=",
    "SECRET_KEY=", "PRIVATE_KEY=", "ENCRYPTION_KEY=", "SIGNING_KEY=", "MACHINE_KEY=",
    "--token=", "--password=", "--api-key=", "_authToken=", "secret_access_key=", "session_token=",
)  # fmt: skip
_PARAMETERS = tuple(
    f"[?&]{name}=" for name in ("token", "access_token", "api_key", "apikey", "client_secret", "password")
)
_FIELDS = tuple(
    f"""(?i:{name})["']:"""
    for name in ("access_token", "refresh_token", "session_token", "auth_token", "id_token", "accesstoken",
                 "refreshtoken", "sessiontoken", "client_secret", "api_key", "apikey", "x-api-key",
                 "secret_key", "secretaccesskey", "private-token", """["'_]password""")
)  # fmt: skip

_SPACES, _OPEN = _Part(" {0,4}", " ", 4), _one("""["']""")
_SCHEME = _Part("(?i:bearer|basic|token) {1,2}", "[A-Za-z ]", 8)

_VALUES = (
    _value(*_NAMES, near="[A-Zdny]="),
    _value(*_NAMES, near="[A-Zdny]=", after=(_one('"'),), characters=r'[^"\r\n\\\x1b]'),
    _value(*_NAMES, near="[A-Zdny]=", after=(_one("'"),), characters=r"[^'\r\n\\\x1b]"),
    _value("secret_access_key =", "session_token =", near=" =", after=(_SPACES,)),
    _value(*_PARAMETERS, near="[a-z]=", characters=r"""[^\s"'`\\\x1b&#<>]"""),
    _value(*_FIELDS, near="""["']:""", after=(_SPACES, _OPEN), characters="[A-Za-z0-9._~+/=:-]", count=12),
    _value("(?i:authorization):", near="[Nn]:", after=(_SPACES, _SCHEME)),
    _value("""(?i:authorization)["']:""", near="""["']:""", after=(_SPACES, _OPEN, _SCHEME)),
    _value("(?i:x-api-key):", "(?i:private-token):", near="[NYny]:", after=(_SPACES,), count=16),
    # https://user:password@host, up to the last @: people forget to write %40.
    _Shape(
        ":",
        ("[A-Za-z0-9]:",),
        (
            _Part(r"""//[^\s/:@?#"'<>`\\]{0,64}:""", r"[^\s@]", 66),
            _Part(
                r"""[^\s/?#"'<>`\\]{1,256}(?=@[^\s/?#"'<>`\\@]{1,256}(?:[\s/?#"'<>`\\]|\Z))""",
                r"""[^\s/?#"'<>`\\]""",
                513,
            ),
        ),
    ),
)

# Behind "-----BEGIN RSA PRIVATE KEY-----": ends of lines as they are, in JSON, source code or a diff.
_BREAK = _Part(r"""(?:\\[nr]|[\s"'+>|-]){1,24}+""", r"""[\\nr\s"'+>|-]""", 48)
_HEADER = _Part(r"[A-Za-z-]{3,20}+: [^\r\n\\]{1,100}+", r"[^\r\n\\]", 122)
_KEYS = tuple(
    _Shape(
        "B",
        ("-----B",),
        (
            _Part("EGIN (?:[DR]SA |EC |OPENSSH |PGP |ENCRYPTED )?PRIVATE KEY(?: BLOCK)?-----", "[A-Z -]", 38),
            *(_BREAK, _HEADER) * headers,
            _BREAK,
            _some("[A-Za-z0-9/+=]", 16),
        ),
        # Up to -----END: no dash but the one before a line that a diff takes out.
        r"""(?:[A-Za-z0-9/+=\s\\"',]++|(?<=\n)-(?=[A-Za-z0-9/+=]))*+""",
    )
    for headers in range(3)
)

_SHAPES = sorted((*_TOKENS, *_VALUES, *_KEYS), key=lambda shape: shape.anchor)


def _any(shapes: Iterable[_Shape], form: Callable[[_Shape], str]) -> str:
    """One of *shapes*, which share their anchor. What stands before several is looked for once."""
    branches = (
        behind + f"(?:{'|'.join(map(form, some))})"
        for behind, some in groupby(shapes, lambda shape: shape.behind)
    )
    return f"(?:{'|'.join(branches)})"


_BY_ANCHOR = {re.escape(anchor): tuple(some) for anchor, some in groupby(_SHAPES, lambda shape: shape.anchor)}

SECRETS = tuple(
    (
        re.compile(anchor + _any(some, lambda shape: shape.whole)),
        tuple(re.compile(shape.more) if shape.more else None for shape in some),
    )
    for anchor, some in _BY_ANCHOR.items()
)
"""Patterns for enough of a secret to know it; `match[match.lastindex]` is what must not be seen. With
each, by `lastindex - 1`, how the secret goes on. One pattern for each anchor: looking for one character
is so fast that nine searches take half the time of one for nine."""
BEGINNING = re.compile(
    "|".join(anchor + _any(some, lambda shape: shape.beginning) for anchor, some in _BY_ANCHOR.items())
)
"""What may become a secret, at the end of a text."""
HELD_CHARS = max(1 + sum(part.most for part in shape.parts) for shape in _SHAPES)
"""A BEGINNING is not longer."""
BEHIND_CHARS = 48
"""So far back a shape looks."""


_SAFE = ("", "/", "!'()*")  # ours, quote's own, and that of encodeURIComponent
_PERCENT = re.compile("%[0-9A-F]{2}")


def forms(secret: str) -> Iterator[str]:
    """*secret* as it may be printed: as it is, in JSON, HTML or a URL, and inside longer base64."""
    yield from (secret, html.escape(secret), html.escape(secret, quote=False))
    for in_json in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield from (in_json, in_json.replace("/", "\\/"))
    # Bytes that are no UTF-8 are replaced in output, too.
    for in_url in (
        *(quote(secret, safe, errors="replace") for safe in _SAFE),
        quote_plus(secret, errors="replace"),
    ):
        yield from (in_url, _PERCENT.sub(lambda found: found[0].lower(), in_url))
    raw = secret.encode("utf-8", "replace")
    # In base64 it reads differently by what stands before it; what depends on the neighbours is left.
    for before, foreign in ((0, 0), (1, 2), (2, 3)):
        own = (before + len(raw)) * 8 // 6
        code = b64encode(bytes(before) + raw).decode()[foreign:own]
        yield from (code, code.translate(str.maketrans("+/", "-_")))
