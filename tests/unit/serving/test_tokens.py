"""Users' tokens: which are believed, and which are not, whoever tries."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from serving.access import Caller, OwnSegments
from serving.jwks import KeySet
from serving.tokens import TokenVerifier

SECRET = "a secret of at least thirty-two bytes"
ISSUER = "https://project.supabase.test/auth/v1"
SUBJECT = "4c1d5c2e-0a0b-4a7e-9d0b-2f0d3a9b8c7d"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER_EC = ec.generate_private_key(ec.SECP256R1())
Claims = dict[str, Any]


def _jwk(kind: Any, key: Any, **more: str) -> dict[str, Any]:
    return {**json.loads(kind.to_jwk(key.public_key())), **more}


class Issuer:
    """A JWKS endpoint on loopback: what it answers, and how often it was asked."""

    def __init__(self) -> None:
        self.keys = [
            _jwk(ECAlgorithm, EC, kid="ec", alg="ES256", use="sig"),
            _jwk(RSAAlgorithm, RSA, kid="rsa", alg="RS256"),
            {"kty": "oct", "kid": "oct", "alg": "HS256", "k": base64.urlsafe_b64encode(b"k" * 32).decode().rstrip("=")},
        ]
        self.asked = 0
        self.answers = True
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                self.send_response(200 if issuer.answers else 500)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": issuer.keys}).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    yield found
    found.server.shutdown()
    found.server.server_close()


def _verifier(issuer: Issuer | None = None, **more: Any) -> TokenVerifier:
    options = {"secret": SECRET, "keys": KeySet(issuer.url) if issuer else None, **more}
    return TokenVerifier(OwnSegments("user_{sub}_*"), issuer=ISSUER, audience="authenticated", **options)


def _claims(**changed: Any) -> Claims:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "authenticated", "sub": SUBJECT, "iat": now, "exp": now + 3600, **changed}
    return {name: value for name, value in claims.items() if value is not ...}


def _find(verifier: TokenVerifier, *tokens: str) -> list[Caller | None]:
    async def all_of_them() -> list[Caller | None]:
        return [await verifier.find(token) for token in tokens]

    return asyncio.run(all_of_them())


def _part(content: object) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _signed(header: object, claims: object, secret: bytes) -> str:
    """A token signed by hand with HS256, whatever its header says."""
    head = f"{_part(header)}.{_part(claims)}"
    return f"{head}.{_part(hmac.new(secret, head.encode(), hashlib.sha256).digest())}"


def test_a_user_is_let_in_to_his_own_segments() -> None:
    """Rate and the right to inline fits come from the settings."""
    (caller,) = _find(_verifier(rate=3.0, inline=False), jwt.encode(_claims(), SECRET))
    assert caller is not None
    assert (caller.name, caller.rate, caller.inline, caller.metrics) == (f"user:{SUBJECT}", 3.0, False, False)
    assert caller.may_read(f"user_{SUBJECT}_food")
    assert not caller.may_read("user_somebody-else_food")


@pytest.mark.parametrize(("key", "algorithm", "key_id"), [(EC, "ES256", "ec"), (RSA, "RS256", "rsa")])
def test_public_keys_verify_what_their_owner_signed(issuer: Issuer, key: Any, algorithm: str, key_id: str) -> None:
    """By the key whose id the token names."""
    good = jwt.encode(_claims(), key, algorithm, {"kid": key_id})
    found = _find(_verifier(issuer), good, *(good[:-6] + end for end in ("AAAAAA", "")))
    assert [caller is not None for caller in found] == [True, False, False]
    assert _find(_verifier(issuer, secret=None), good) != [None]


BAD_CLAIMS: list[tuple[str, Claims]] = [
    ("expired", {"exp": int(time.time()) - 60}),
    ("no expiry", {"exp": ...}),
    ("another audience", {"aud": "anon"}),
    ("no audience", {"aud": ...}),
    ("another issuer", {"iss": "https://evil.test/auth/v1"}),
    ("no issuer", {"iss": ...}),
    ("not valid yet", {"nbf": int(time.time()) + 3600}),
    ("issued tomorrow", {"iat": int(time.time()) + 86400}),
    ("no subject", {"sub": ...}),
    ("an empty subject", {"sub": ""}),
    ("a subject that is a number", {"sub": 7}),
    ("a subject that holds the separator", {"sub": "4_2"}),
    ("a subject beyond all names", {"sub": "x" * 201}),
    ("expiry that is a word", {"exp": "never"}),
    ("expiry that is a list", {"exp": [1]}),
]


@pytest.mark.parametrize("changed", [case[1] for case in BAD_CLAIMS], ids=[case[0] for case in BAD_CLAIMS])
def test_a_token_with_a_wrong_claim_lets_nobody_in(changed: Claims) -> None:
    """Its signature is right all the same."""
    assert _find(_verifier(), _signed({"alg": "HS256", "typ": "JWT"}, _claims(**changed), SECRET.encode())) == [None]


def _public_pem(key: Any) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


FORGED: list[tuple[str, Callable[[], str]]] = [
    ("another secret", lambda: _signed({"alg": "HS256"}, _claims(), b"x" * 32)),
    ("no secret", lambda: _signed({"alg": "HS256"}, _claims(), b"")),
    ("alg none", lambda: f"{_part({'alg': 'none'})}.{_part(_claims())}."),
    ("alg None, and no dot", lambda: f"{_part({'alg': 'None'})}.{_part(_claims())}"),
    ("alg none, signed", lambda: _signed({"alg": "none"}, _claims(), SECRET.encode())),
    ("no alg", lambda: _signed({"typ": "JWT"}, _claims(), SECRET.encode())),
    ("alg that is a list", lambda: _signed({"alg": ["HS256"]}, _claims(), SECRET.encode())),
    ("HS512 with the right secret", lambda: jwt.encode(_claims(), SECRET.ljust(64, "x"), "HS512")),
    ("HS256 by the RSA key's text", lambda: _signed({"alg": "HS256", "kid": "rsa"}, _claims(), _public_pem(RSA))),
    ("HS256 by the EC key's text", lambda: _signed({"alg": "HS256", "kid": "ec"}, _claims(), _public_pem(EC))),
    ("RS256 by the secret", lambda: _signed({"alg": "RS256", "kid": "rsa"}, _claims(), SECRET.encode())),
    ("a published secret", lambda: _signed({"alg": "HS256", "kid": "oct"}, _claims(), b"k" * 32)),
    ("a published secret called ES256", lambda: _signed({"alg": "ES256", "kid": "oct"}, _claims(), b"k" * 32)),
    ("another's EC key", lambda: jwt.encode(_claims(), OTHER_EC, "ES256", {"kid": "ec"})),
    ("an EC key under RSA's id", lambda: jwt.encode(_claims(), EC, "ES256", {"kid": "rsa"})),
    ("an id that the issuer has not", lambda: jwt.encode(_claims(), EC, "ES256", {"kid": "new"})),
    ("no id", lambda: jwt.encode(_claims(), EC, "ES256")),
    ("an id that is a list", lambda: _signed({"alg": "ES256", "kid": ["ec"]}, _claims(), b"")),
    ("keys of its own", lambda: jwt.encode(_claims(), OTHER_EC, "ES256", {"jwk": _jwk(ECAlgorithm, OTHER_EC)})),
    ("keys elsewhere", lambda: jwt.encode(_claims(), OTHER_EC, "ES256", {"jku": "http://127.0.0.1:9/", "kid": "x"})),
    ("PS256", lambda: jwt.encode(_claims(), RSA, "PS256", {"kid": "rsa"})),
    ("an unknown extension", lambda: _signed({"alg": "HS256", "crit": ["exp"]}, _claims(), SECRET.encode())),
    ("a header that nests for ever", lambda: f"{_part(b'[' * 5000)}.{_part(_claims())}.x"),
    ("a header that is a number", lambda: f"{_part(7)}.{_part(_claims())}.x"),
    ("claims that are a list", lambda: _signed({"alg": "HS256"}, [1], SECRET.encode())),
    ("beyond all lengths", lambda: _signed({"alg": "HS256"}, _claims(x="x" * 9000), SECRET.encode())),
    ("words", lambda: "let me in"),
    ("dots", lambda: ".."),
    ("not ASCII", lambda: "\u00e9.\u00e9.\u00e9"),
    ("nothing", lambda: ""),
]


@pytest.mark.parametrize("forge", [case[1] for case in FORGED], ids=[case[0] for case in FORGED])
@pytest.mark.parametrize("with_secret", [True, False], ids=["secret and keys", "keys alone"])
def test_a_forged_token_lets_nobody_in(issuer: Issuer, forge: Callable[[], str], with_secret: bool) -> None:
    """Wrong signatures, no signatures, algorithms and keys confused, and junk."""
    assert _find(_verifier(issuer, secret=SECRET if with_secret else None), forge()) == [None]


def test_public_keys_are_not_asked_for_where_only_a_secret_is_set() -> None:
    """Nor is the secret used for what is signed with a key."""
    assert _find(_verifier(), jwt.encode(_claims(), EC, "ES256", {"kid": "ec"})) == [None]


def test_clocks_may_differ_a_little() -> None:
    """Ten seconds either way, by default."""
    now = int(time.time())
    tokens = [jwt.encode(_claims(exp=now - 5), SECRET), jwt.encode(_claims(iat=now + 5), SECRET)]
    assert None not in _find(_verifier(leeway=60.0), *tokens)


def test_a_token_that_was_believed_ends_all_the_same() -> None:
    """What is kept of it ends with it."""
    seconds = time.time()
    verifier = _verifier(now=lambda: seconds, leeway=0.0)
    token = jwt.encode(_claims(exp=int(seconds) + 30), SECRET)
    assert _find(verifier, token) != [None]
    assert verifier._known[token][0] <= seconds + 30


def test_a_rotated_key_is_found_and_invented_ones_cost_the_issuer_nothing(issuer: Issuer) -> None:
    """An unknown id asks the issuer again, but not more often than every 30 seconds."""
    seconds = 0.0
    verifier = _verifier(keys=KeySet(issuer.url, lambda: seconds))
    new = jwt.encode(_claims(), OTHER_EC, "ES256", {"kid": "new"})
    assert _find(verifier, jwt.encode(_claims(), EC, "ES256", {"kid": "ec"}), *[new] * 20)[1:] == [None] * 20
    assert issuer.asked == 1
    issuer.keys.append(_jwk(ECAlgorithm, OTHER_EC, kid="new", alg="ES256"))
    seconds += 31
    assert _find(verifier, new) != [None]
    assert issuer.asked == 2


def test_an_issuer_that_is_away_locks_nobody_out_for_a_day(issuer: Issuer) -> None:
    """The keys that it gave last go on; then they are too old to be believed."""
    seconds = 0.0
    keys = KeySet(issuer.url, lambda: seconds)

    async def found() -> bool:
        key = await keys.find("ec")
        if keys._fetching is not None:
            await keys._fetching
        return key is not None

    assert asyncio.run(found())
    issuer.answers = False
    for seconds, there in ((3600.0, True), (23 * 3600.0, True), (25 * 3600.0, False)):  # noqa: B007 (keys reads it)
        assert asyncio.run(found()) is there
    issuer.answers = True
    seconds += 31
    assert asyncio.run(found())


def test_an_issuer_that_was_never_there_lets_nobody_in(issuer: Issuer) -> None:
    """And is not asked for each token."""
    issuer.answers = False
    token = jwt.encode(_claims(), EC, "ES256", {"kid": "ec"})
    assert _find(_verifier(issuer), *[token] * 5) == [None] * 5
    assert issuer.asked == 1
