"""The signed command of Shovey: the vectors, good and bad, our second signature, and odd input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from push_jobs_wire import chef_auth, shovey
from push_jobs_wire.errors import LocalError, RemoteError

VECTORS = json.loads(
    (Path(__file__).parent.parent / "vectors" / "shovey-signature.json").read_text("utf-8")
)
CASES: List[Dict[str, Any]] = VECTORS["cases"]
KEY = generate_private_key(public_exponent=65537, key_size=1024)


def parts(key: RSAPrivateKey) -> Tuple[int, int]:
    numbers = key.public_key().public_numbers()
    return numbers.n, numbers.e


def vector_key(name: str) -> RSAPrivateKey:
    return chef_auth.load_private_key(VECTORS["keys"][name]["private_pkcs1_pem"].encode())


def case_id(case: Dict[str, Any]) -> str:
    return str(case["id"])


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_vector_verifies_or_not(case: Dict[str, Any]) -> None:
    payload = shovey.decode(case["sent_json"].encode())
    key = parts(vector_key(case["verify_with_key"]))
    if case["verifies"]:
        assert not shovey.verify(payload, key)
    else:
        with pytest.raises(shovey.NotVerified):
            shovey.verify(payload, key)


@pytest.mark.parametrize("case", [each for each in CASES if each["verifies"]], ids=case_id)
def test_a_vector_is_signed_byte_for_byte(case: Dict[str, Any]) -> None:
    payload = case["signed_payload"]
    assert shovey.signing_block(payload).decode() == case["signing_block"]
    signed = shovey.signed(payload, vector_key(case["key"]))
    assert signed["signature"] == case["signature_b64"]
    assert shovey.decode(shovey.encode(signed)) == signed


TEXTS = st.text(st.characters(blacklist_categories=["Cs"]))


@given(st.dictionaries(TEXTS, TEXTS, max_size=8), st.booleans())
def test_what_is_signed_verifies_and_survives_travel(payload: Dict[str, str], both: bool) -> None:
    reserved = (shovey.SIGNATURE, shovey.SIGNATURE_256)
    payload = {name: text for name, text in payload.items() if name not in reserved}
    travelled = shovey.decode(shovey.encode(shovey.signed(payload, KEY, also_256=both)))
    assert shovey.verify(travelled, parts(KEY)) is both


def test_the_second_signature_is_required_when_asked_for() -> None:
    start = shovey.start_payload("b5a6ee64-67ca-4a4f-94ad-6c18eb1c6a32", "ls", 300, 0.0)
    with pytest.raises(shovey.NotVerified, match="SHA-256 is missing"):
        shovey.verify(shovey.signed(start, KEY), parts(KEY), need_256=True)
    both = shovey.signed(start, KEY, also_256=True)
    assert shovey.verify(both, parts(KEY), need_256=True)


def test_the_second_signature_is_covered_by_the_first_and_covers_the_command() -> None:
    start = shovey.start_payload("b5a6ee64-67ca-4a4f-94ad-6c18eb1c6a32", "ls", 300, 0.0)
    both = shovey.signed(start, KEY, also_256=True)
    without = {name: text for name, text in both.items() if name != shovey.SIGNATURE_256}
    with pytest.raises(shovey.NotVerified):
        shovey.verify(without, parts(KEY))
    # Somebody who could forge the SHA-1 signature would still lack the other one.
    other = dict(both, command="rm")
    other[shovey.SIGNATURE] = shovey.signed(other, KEY)[shovey.SIGNATURE]
    with pytest.raises(shovey.NotVerified):
        shovey.verify(other, parts(KEY))


def test_the_second_signature_is_enough_by_itself_and_none_is_not() -> None:
    start = shovey.start_payload("b5a6ee64-67ca-4a4f-94ad-6c18eb1c6a32", "ls", 300, 0.0)
    alone = shovey.signed_256(start, KEY)
    assert shovey.verify(alone, parts(KEY), need_256=True)
    bad = shovey.signed({**start, "command": "rm"}, KEY)[shovey.SIGNATURE]
    for wrong in (start, {**alone, "command": "rm"}, {**alone, shovey.SIGNATURE: bad}):
        with pytest.raises(shovey.NotVerified):
            shovey.verify(wrong, parts(KEY))


def test_a_payload_that_no_query_could_carry_is_refused_unread() -> None:
    longest = 65536
    payload = {"command": "x" * (longest - len(b'{"command":""}'))}
    assert shovey.decode(shovey.encode(payload)) == payload
    payload["command"] += "x"
    with pytest.raises(RemoteError, match=f"a payload of {longest + 1} bytes"):
        shovey.decode(shovey.encode(payload))


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    try:
        payload = shovey.decode(data)
        shovey.verify(payload, parts(KEY))
    except RemoteError:
        pass


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"nonsense",
        b'{"a": 1}',
        b'{"a": ["b"]}',
        b'{"a": true}',
        b"[" * 60000,
        b"x" * 70000,
        b"\xff\xfe",
    ],
)
def test_payloads_that_are_none(data: bytes) -> None:
    with pytest.raises(RemoteError):
        shovey.decode(data)


def test_a_null_counts_as_an_empty_text() -> None:
    assert shovey.decode(b'{"a": null}') == {"a": ""}


def test_half_a_surrogate_is_not_verified() -> None:
    with pytest.raises(shovey.NotVerified):
        shovey.verify({"a": "\ud800", "signature": ""}, parts(KEY))


def test_ids_are_the_same_128_bits() -> None:
    run_id = "b5a6ee64-67ca-4a4f-94ad-6c18eb1c6a32"
    assert shovey.job_id_of(run_id) == run_id.replace("-", "")
    assert shovey.job_uuid(run_id.replace("-", "")) == run_id
    for wrong in ("nope", "", run_id.upper(), run_id.replace("-", ""), "{%s}" % run_id):
        assert shovey.job_id_of(wrong) is None
    with pytest.raises(LocalError):
        shovey.job_uuid("nope")


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T01:00:01.25+01:00", 1.25),
        ("1969-12-31T17:00:02-07:00", 2.0),
    ],
)
def test_times_with_any_offset_and_fraction(text: str, seconds: float) -> None:
    assert shovey.parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "2014-09-05", "2014-09-05T23:00:00", "Z" * 99])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(RemoteError):
        shovey.parse_time(text)


@given(st.floats(0, 2**33))
def test_our_own_times_are_read_again(wall: float) -> None:
    assert shovey.parse_time(shovey.timestamp(wall)) == int(wall)


def test_checking_needs_no_cryptography() -> None:
    code = "import sys, push_jobs_wire.shovey; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
