"""Secrets are taken out of output, whatever they look like and however it is cut; results stay."""

from __future__ import annotations

import html
import json
import re
import string
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.redact import MAX_SECRET_CHARS, WORD, Redactor, known_secrets
from worker.secret_shapes import BEHIND_CHARS, HELD_CHARS

# Put together here, so that nobody's scanner takes this file for a leak.
BODY = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"
HEX = "0123456789abcdef"
LINE = (BODY + BODY)[:64]
KNOWN = "kn0wn/s3cret+of=this machine"

SHAPES = {
    "GitHub": ("ghp_", BODY, ""),
    "GitHub OAuth": ("gho_", BODY, ""),
    "GitHub app": ("ghs_", BODY, ""),
    "GitHub user": ("ghu_", BODY, ""),
    "GitHub refresh": ("ghr_", BODY + BODY, ""),
    "GitHub fine-grained": ("github_pat_", BODY[:22] + "_" + BODY + BODY[:19], ""),
    "GitLab": ("glpat-", BODY[:10] + "-_" + BODY[:8], ""),
    "GitLab runner": ("glrt-", BODY[:20], ""),
    "OpenAI": ("sk-", BODY, ""),
    "OpenAI project": ("sk-proj-", BODY[:20] + "-_" + BODY, ""),
    "Anthropic": ("sk-ant-", "api03-" + BODY + "-" + BODY + "AA", ""),
    "Slack bot": ("xoxb-", "123456789012-1234567890123-" + BODY[:24], ""),
    "Slack user": ("xoxp-", "123456789012-" + BODY[:24], ""),
    "Slack app": ("xapp-", "1-A0123456789-1234567890123-" + HEX * 4, ""),
    "AWS id": ("AKIA", "IOSFODNN7EXAMPLE", ""),
    "AWS temporary id": ("ASIA", "IOSFODNN7EXAMPLE", ""),
    "AWS key in an ini file": ("aws_secret_access_key = ", BODY[:20] + "/+" + BODY[:18], ""),
    "AWS key in JSON": ('"SecretAccessKey": "', BODY[:20] + "/+" + BODY[:18], '"'),
    "AWS key in the environment": ("AWS_SECRET_ACCESS_KEY=", BODY[:20] + "/+" + BODY[:18], ""),
    "Google": ("AIza", "Sy" + BODY[:33], ""),
    "npm": ("npm_", BODY[:36], ""),
    "npm's settings": ("//registry.npmjs.org/:_authToken=", HEX + "-" + HEX, ""),
    "PyPI": ("pypi-", "AgEIcHlwaS5vcmc" + BODY + BODY, ""),
    "Stripe": ("sk_live_", BODY[:24], ""),
    "Stripe restricted": ("rk_live_", BODY[:24], ""),
    "Standard Webhooks": ("whsec_", BODY[:30] + "/+=", ""),
    "Hugging Face": ("hf_", string.ascii_letters[:34], ""),
    "age": ("AGE-SECRET-KEY-", "1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L" + "QPZRY9X8GF2TVDW0S3JN54KHCE", ""),
    "JSON Web Token": ("eyJhbGciOiJIUzI1NiJ9.eyJ", f"zdWIiOiIxMjM0NTY3ODkwIn0.{BODY}_-", ""),
    "bearer": ("Authorization: Bearer ", BODY, ""),
    "bearer of HTTP/2": ("authorization: bearer ", BODY + "~+/=", ""),
    "basic": ("> Authorization: Basic ", "dXNlcjpwYXNzd29yZA==", ""),
    "bearer in JSON": ('"Authorization": "Bearer ', BODY, '"'),
    "bearer in Python": ("{'Authorization': 'Bearer ", BODY, "'}"),
    "bearer in a command": ("curl -H 'Authorization: Bearer ", BODY, "'"),
    "key header": ("X-API-Key: ", BODY, ""),
    "GitLab's header": ("PRIVATE-TOKEN: ", BODY[:20], ""),
    "password in a URL": ("https://phil:", "hunter2", "@example.org/x"),
    "password without a user": ("redis://:", "hunter2", "@localhost:6379/0"),
    "password with an @": ("postgresql://phil:", "p@ss:w0rd", "@db.example.org/x"),
    "token in a URL": ("https://x-access-token:", "v1." + HEX, "@github.com/o/r.git"),
    "query": ("GET /v1?page=2&access_token=", BODY, "&sort=name"),
    "setting": ("DEPLOY_TOKEN=", "hunter2!hunter2", ""),
    "exported setting": ("export DB_PASSWORD=", "correct-horse", ""),
    "setting in quotes": ('  STRIPE_API_KEY="', "with a space & more", '"'),
    "setting in single quotes": ("docker run -e 'CLIENT_SECRET=", "hunter2!hunter2", "'"),
    "single-quoted setting": ("CLIENT_SECRET='", 'hunter2 "hunter2"', "'"),
    "setting in a list": ('["PATH=/bin", "NPM_TOKEN=', "hunter2!hunter2", '"]'),
    "option": ("deploy --password=", "hunter2hunter2", ""),
    "field": ('{"refresh_token": "', BODY, '", "n": 1}'),
    "private key": (
        "-----BEGIN RSA PRIVATE KEY-----\n",
        f"{LINE}\n{LINE}\n{LINE[:30]}==\n",
        "-----END RSA PRIVATE KEY-----",
    ),
    "private key of OpenSSH, indented": (
        "  -----BEGIN OPENSSH PRIVATE KEY-----\n  ",
        f"{LINE}\n  {LINE[:30]}==\n  ",
        "-----END OPENSSH PRIVATE KEY-----",
    ),
    "private key with a password": (
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\n",
        f"{LINE}\n{LINE}\n",
        "-----END EC PRIVATE KEY-----",
    ),
    "private key of PGP": (
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\n",
        f"{LINE}\n{LINE}\n=abcd\n",
        "-----END PGP PRIVATE KEY BLOCK-----",
    ),
    "private key in JSON": (
        '"private_key": "-----BEGIN PRIVATE KEY-----\\n',
        f"{LINE}\\n{LINE}\\n",
        '-----END PRIVATE KEY-----\\n"',
    ),
    "private key that a commit takes out": (
        "------BEGIN PRIVATE KEY-----\n-",
        f"{LINE}\n-{LINE}\n",
        "------END PRIVATE KEY-----",
    ),
    "private key that is cut off": ("-----BEGIN PRIVATE KEY-----\n", f"{LINE}\n{LINE}\n", ""),
}

BENIGN = [
    "commit 3f785a9c1b2d4e5f60718293a4b5c6d7e8f90123 (HEAD -> main, origin/main)",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "integrity sha512-" + b64encode(bytes(range(64))).decode(),
    "task 123e4567-e89b-12d3-a456-426614174000 finished",
    "task-0123456789abcdef0123456789abcdef is running; disk-a1b2c3d4e5f6a7b8c9d0e1f2 is full",
    "pip install sk-learn scikit-learn sk-toggleable-content",
    "/home/phil/projects/api/src/password_reset/token_store.py:12: in reset",
    "Enter password: \nPassword for 'https://github.com': \nsudo: a password is required",
    '<img src="data:image/png;base64,' + b64encode(bytes(range(256)) * 4).decode() + '">',
    "data:application/wasm;base64,QrA3ghCCAEKwNgIQkCfCAFKAKIAUUEQCAIRAAAAAAAAANA/oiEKIAQ",
    "def login(user: str, password: str, token: str | None = None) -> Session:",
    "client = Client(api_key=settings.api_key, token=get_token(), password=password)",
    'API_KEY = os.environ["API_KEY"]',
    "if TOKEN==other_token: ...",
    "API_KEY=$(pass show api) TOKEN=${TOKEN} SECRET=<your secret> API_KEY= DEBUG_TOKEN=none",
    "    GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN }}",
    "Authorization: Bearer <token>\nAuthorization: Bearer $API_KEY\nAuthorization: Bearer {key}",
    "Basic authentication is used; the bearer of this token is the token bearer",
    "SORT_KEY=created_at PRIMARY_KEY=identifier KEYBOARD=qwertyuiop MONKEY=chimpanzee",
    "http://localhost:5001/tasks?status=failed&page=2 and https://example.org:8443, or me@example.org",
    "git@github.com:ai-webhook/ai-webhook.git ssh://git@github.com:22/o/r http://[::1]:8000/x",
    "npm_config_registry=https://registry.npmjs.org/ npm_lifecycle_event=test npm_package_name=x",
    "highs_and_lows_of_the_year hf_hub_download gsk_function_with_a_long_name_and_more",
    "grep: a.pem:-----BEGIN RSA PRIVATE KEY-----\nb.pem:-----BEGIN RSA PRIVATE KEY-----\nc.md: no key",
    'if line == "-----BEGIN PRIVATE KEY-----":\n    raise ValueError("that is a private key")',
    f"-----BEGIN CERTIFICATE-----\n{LINE}\n{LINE}\n-----END CERTIFICATE-----",
    f"ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB{BODY}{BODY} phil@laptop",
    '{"password": "string", "token": "a token", "max_tokens": 4096, "api_key": null}',
    "ghp_short glpat-short sk-short AKIASHORT eyJhbGciOiJIUzI1NiJ9 eyJ.eyJ a.eyJa",
    "------------------------------------------------------------------------",
    "[ 45%] Building CXX object src/CMakeFiles/x.dir/a.cpp.o -- cached-wheel-1.2-py3-none-any.whl",
]


def in_pieces(redactor: Redactor, pieces: Iterable[str]) -> str:
    stream = redactor.stream()
    return "".join([*map(stream.feed, pieces), stream.end()])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_token_is_known_by_its_shape_and_what_kind_it_is_stays(shape: str) -> None:
    before, secret, after = SHAPES[shape]
    # What is cut off has no end by which it is known; the next word goes with it.
    rest = "" if "cut off" in shape else "\nand more"
    assert Redactor([]).clean(f"seen: {before}{secret}{after}{rest}") == f"seen: {before}{WORD}{after}{rest}"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_token_is_known_when_it_comes_in_two_writes_or_by_the_character(shape: str) -> None:
    text = "seen: {}{}{}".format(*SHAPES[shape])
    redactor = Redactor([])
    whole = redactor.clean(text)
    assert in_pieces(redactor, text) == whole
    for cut in range(len(text)):
        assert in_pieces(redactor, (text[:cut], text[cut:])) == whole


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_cleaned_stays_as_it_is(shape: str) -> None:
    redactor = Redactor([])
    cleaned = redactor.clean("seen: {}{}{}".format(*SHAPES[shape]))
    assert redactor.clean(cleaned) == cleaned


@pytest.mark.parametrize("text", BENIGN)
def test_what_only_looks_alike_stays(text: str) -> None:
    redactor = Redactor([KNOWN])
    assert redactor.clean(text) == text
    assert in_pieces(redactor, text) == text


@pytest.mark.parametrize("before", ["\\n", "\\t", "%20", "\x1b[31m", "\x1b[1;32m", "=", '"', "("])
def test_a_token_begins_after_an_escape_too(before: str) -> None:
    assert Redactor([]).clean(f"a{before}sk-{BODY}\x1b[0m") == f"a{before}sk-{WORD}\x1b[0m"


def test_several_secrets_in_one_line_are_all_found() -> None:
    text = f"A_TOKEN=hunter2!hunter2 ghp_{BODY},ghp_{BODY} https://a:b@c.d https://e:f@g.h "
    text += f"AKIAIOSFODNN7EXAMPLE,{BODY}"
    assert Redactor([]).clean(text) == (
        f"A_TOKEN={WORD} ghp_{WORD},ghp_{WORD} https://a:{WORD}@c.d https://e:{WORD}@g.h AKIA{WORD},{WORD}"
    )


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("after", ["", "z", "zy", "zyx"])
@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
def test_a_known_secret_is_found_inside_of_base64(
    encode: Callable[[bytes], bytes], before: str, after: str
) -> None:
    secret = "any??>>>secret~~~of>>>this???machine"
    code = encode(f"{before}{secret}{after}".encode()).decode()
    assert set("+/-_") & set(code)
    # Characters that stand for its neighbours' bits, too, may stay.
    first, end = -(-8 * len(before) // 6), 8 * len(before + secret) // 6
    assert Redactor([secret]).clean(code) == f"{code[:first]}{WORD}{code[end:]}"


def test_a_known_secret_is_found_as_it_is_and_in_a_url() -> None:
    redactor = Redactor([KNOWN])
    assert redactor.clean(f"is {KNOWN}.") == f"is {WORD}."
    assert redactor.clean(f"is {quote(KNOWN, safe='')}.") == f"is {WORD}."
    assert (
        redactor.clean(
            f"is {KNOWN.replace('+', '%2B').replace('/', '%2F').replace('=', '%3D').replace(' ', '+')}."
        )
        == f"is {WORD}."
    )


def small_percent(text: str) -> str:
    return re.sub("%..", lambda found: found[0].lower(), quote(text, safe=""))


@pytest.mark.parametrize(
    "print_it",
    [
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps(text).replace("/", "\\/"),
        quote,
        lambda text: quote(text, safe="!'()*"),
        small_percent,
        html.escape,
        repr,
    ],
)
def test_a_known_secret_is_found_as_programs_write_it(print_it: Callable[[str], str]) -> None:
    secret = 'k"ey/with=<&>/ünd/moré+of it'
    shown = Redactor([secret]).clean(print_it(secret))
    assert WORD in shown
    assert "moré" not in shown
    assert "mor%" not in shown


def test_a_known_secret_goes_before_the_shape_around_it() -> None:
    # By its shape the value would end at the space.
    assert Redactor([KNOWN]).clean(f"MY_TOKEN={KNOWN}") == f"MY_TOKEN={WORD}"


def test_of_two_known_secrets_that_begin_alike_the_longer_leaves_no_rest() -> None:
    redactor = Redactor(["alike-secret", "alike-secret-longer"])
    text = "alike-secret alike-secret-longer alike-secret-long"
    assert redactor.clean(text) == f"{WORD} {WORD} {WORD}-long"
    assert in_pieces(redactor, text) == redactor.clean(text)


def test_of_two_secrets_that_overlap_the_first_is_taken_and_nothing_comes_twice() -> None:
    redactor = Redactor(["alike-secret", "secret-other"])
    assert in_pieces(redactor, ["alike-secret", "-other"]) == f"{WORD}-other"
    # Inside the value stands the beginning of a field, which the closing quote seems to go on with.
    text = f"""A_TOKEN='12345678"api_key":'{BODY}"""
    for cut in range(len(text)):
        assert in_pieces(redactor, (text[:cut], text[cut:])) == f"A_TOKEN='{WORD}'{BODY}"


def test_a_known_secret_of_several_lines_is_found() -> None:
    secret = "first line\nsecond line"
    assert in_pieces(Redactor([secret]), f"<{secret}>") == f"<{WORD}>"


def test_a_secret_that_is_no_text_does_no_harm() -> None:
    assert Redactor(["not\udcfftext-\ud800"]).clean("no text, no harm") == "no text, no harm"


def test_what_is_too_short_or_too_long_is_not_looked_for() -> None:
    long = "ä" * (MAX_SECRET_CHARS + 1)
    assert Redactor(["", "7 chars", long]).clean(f"7 chars {long}") == f"7 chars {long}"


ATOMS = st.sampled_from(
    [text for triple in SHAPES.values() for text in triple]
    + [
        part
        for before, secret, _ in SHAPES.values()
        for part in (before[:-2], before[-3:], secret[:12], secret[-9:])
    ]
    + [KNOWN, KNOWN[:9], KNOWN[9:], b64encode(b"x" + KNOWN.encode()).decode(), quote(KNOWN, safe="")]
    + [
        " ",
        "\n",
        "-",
        "\n-",
        '"',
        "'",
        ":",
        "=",
        "@",
        "/",
        ".",
        ",",
        "\\n",
        "a",
        "A",
        "7",
        "ä",
        "😀",
        "\x1b[31m",
        "[",
        "-----",
        "eyJ",
    ]
)
TEXTS = st.lists(st.one_of(ATOMS, ATOMS, st.text(max_size=5)), max_size=14).map("".join)


@settings(max_examples=400)
@given(TEXTS, st.lists(st.integers(0, 400)))
@example("-----BEGIN PRIVATE KEY-----\n+" + BODY, [43])
@example("https://a:b@c https://a:b@c", [11, 12])
def test_the_same_comes_out_wherever_the_text_is_cut(text: str, cuts: list[int]) -> None:
    redactor = Redactor([KNOWN, "alike-secret", "alike-secret-longer"])
    ends = sorted({min(cut, len(text)) for cut in cuts})
    pieces = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    whole = redactor.clean(text)
    assert in_pieces(redactor, pieces) == whole
    assert in_pieces(redactor, text) == whole
    assert KNOWN not in whole


@given(TEXTS, TEXTS, st.sampled_from(sorted(SHAPES)))
def test_no_line_before_or_after_it_lets_a_token_through(before: str, after: str, shape: str) -> None:
    head, secret, tail = SHAPES[shape]
    redactor = Redactor([])
    shown = redactor.clean(f"{before}\n{head}{secret}{tail}\n{after}")
    rest = redactor.clean(f"{before}\n{after}")
    assert secret not in shown or secret in rest


@given(TEXTS)
def test_what_is_held_back_is_short(text: str) -> None:
    stream = Redactor([KNOWN]).stream()
    stream.feed(text)
    assert len(stream._known._held) < max(len(quote(KNOWN, safe="")), len(b64encode(KNOWN.encode())))
    assert len(stream._shaped._text) <= BEHIND_CHARS + HELD_CHARS <= 8_192


@pytest.mark.parametrize(
    "text",
    [
        "Downloading 45%",
        "Password: ",
        "Continue? [y/N] ",
        "....",
        "\r 12/99 \x1b[K",
        "gh",
        "done in 3 s",
        "-----",
    ],
)
def test_text_that_begins_no_secret_appears_at_once(text: str) -> None:
    assert Redactor(["0ther-secret"]).stream().feed(text) == text


def test_only_the_beginning_of_a_secret_waits_for_what_follows() -> None:
    stream = Redactor([KNOWN]).stream()
    assert stream.feed(f"token ghp_{BODY[:9]}") == "token ghp"
    assert stream.feed(" is") == f"_{BODY[:9]} is"
    assert stream.feed(f" {KNOWN[:9]}") == " "
    assert stream.feed("no") == f"{KNOWN[:9]}no"
    assert stream.feed(KNOWN[:5]) == ""
    assert stream.end() == KNOWN[:5]


def test_a_secret_is_shown_as_such_before_its_end_is_seen() -> None:
    stream = Redactor([]).stream()
    assert stream.feed(f"ghp_{BODY[:20]}") == f"ghp_{WORD}"
    assert stream.feed(BODY) == ""
    assert stream.feed(".") == "."


def test_a_private_key_of_any_length_is_not_gathered() -> None:
    stream = Redactor([]).stream()
    shown = stream.feed("-----BEGIN PRIVATE KEY-----\n")
    for _ in range(1_000):
        shown += stream.feed(f"{LINE}\n")
        assert len(stream._shaped._text) <= BEHIND_CHARS + HELD_CHARS
    shown += stream.feed("-----END PRIVATE KEY-----\n") + stream.end()
    assert shown == f"-----BEGIN PRIVATE KEY-----\n{WORD}-----END PRIVATE KEY-----\n"


HOSTILE = {
    "one long word": "a",
    "token after token": "ghp_",
    "nearly a token": f"ghp_{BODY[:19]}!",
    "tokens": f"ghp_{BODY} ",
    "begin of a JSON Web Token": "eyJ",
    "begin of its body": "a.eyJ",
    "begin of a key": "-----BEGIN ",
    "head of a key": "-----BEGIN PRIVATE KEY-----\n",
    "head of a key with a line": "-----BEGIN PRIVATE KEY-----\nabc: ",
    "lines of a key": ("-----BEGIN PRIVATE KEY-----\n", f"{LINE}\n"),
    "lines of a key that a commit takes out": ("-----BEGIN PRIVATE KEY-----\n" + LINE, "A\n-"),
    "a value in quotes": ("A_TOKEN='", "x "),
    "dashes": "-",
    "dashed words": "a-",
    "underscores": "_",
    "colons": ":",
    "quoted colons": '":',
    "equals signs": "A=",
    "names": "A_TOKEN=",
    "settings": "A_TOKEN=12345678 ",
    "URLs": "a://a:",
    "passwords": "a://a:b@c ",
    "signs of an address": ("a://a:", "@"),
    "headers": "authorization: bearer ",
    "nearly known": KNOWN[:-1],
    "known": KNOWN,
    "base64": b64encode(KNOWN.encode()).decode()[:-4],
}


@pytest.mark.parametrize("piece", [8_192, 1_000_000])
@pytest.mark.parametrize("kind", HOSTILE)
def test_sixteen_times_the_text_takes_about_sixteen_times_the_time(kind: str, piece: int) -> None:
    redactor = Redactor([KNOWN])
    prefix, again = ("", HOSTILE[kind]) if isinstance(HOSTILE[kind], str) else HOSTILE[kind]

    def seconds(size: int) -> float:
        text = prefix + again * (size // len(again))
        pieces = [text[start : start + piece] for start in range(0, len(text), piece)]
        # The time of this thread: what else the machine does is not ours.
        started = time.thread_time()
        in_pieces(redactor, pieces)
        return time.thread_time() - started

    once = min(seconds(20_000) for _ in range(5))
    # Growth with the square would be 256 times. The millisecond is for the grain of the clock.
    assert min(seconds(320_000) for _ in range(2)) < 48 * once + 0.001


def test_secrets_are_picked_from_the_environment_by_their_names() -> None:
    environment = {
        "API_KEY": f"phone=phone-{BODY},claude=claude-{BODY}",
        "MACHINE_KEY": f"laptop-{BODY}",
        "GITHUB_WEBHOOK_SECRET": "for-github",
        "WEBHOOK_SECRET": "whsec_MTIzNDU2Nzg=",
        "OPENAI_API_KEY": "from-openai ",
        "npm_token": "npm-t0ken",
        "PGPASSWORD": "hunter2!",
        "AZURE_CREDENTIALS": '{"clientSecret": "x"}',
        # None of these may hide anything.
        "PATH": "/usr/bin:/bin",
        "MACHINE_NAME": "laptop-in-the-office",
        "KEYBOARD": "de-nodeadkeys",
        "EMPTY_TOKEN": "",
        "ABSENT_TOKEN": None,
        "SHORT_TOKEN": "7-chars",
        "SORT_KEY": "created",
        "SOME_PASSWORD": "password",
        "ANOTHER_PASSWORD": "Development",
        "PIN_SECRET": "12345678",
        "GOOGLE_APPLICATION_CREDENTIALS": "/home/phil/gcp.json",
        "SSH_KEY": "~/.ssh/id_ed25519",
        "STRIPE_PUBLISHABLE_KEY": "pk_live_public",
        "SSH_PUBLIC_KEY": "ssh-ed25519 AAAA",
    }
    assert known_secrets(environment) == {
        f"phone-{BODY}",
        f"claude-{BODY}",
        f"laptop-{BODY}",
        "for-github",
        "whsec_MTIzNDU2Nzg=",
        "from-openai",
        "npm-t0ken",
        "hunter2!",
        '{"clientSecret": "x"}',
    }


def test_keys_that_the_relay_would_refuse_are_secrets_all_the_same() -> None:
    assert known_secrets({"API_KEY": "tooshort1", "MACHINE_KEY": "short"}) == {"tooshort1"}


def test_a_secret_that_begins_with_a_slash_is_no_path() -> None:
    assert known_secrets({"AWS_SECRET_KEY": "/K7MDENG/bPxRfiCY"}) == {"/K7MDENG/bPxRfiCY"}
