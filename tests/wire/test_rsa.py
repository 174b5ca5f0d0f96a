"""Raw RSA blocks: against pushy-protocol 4.4 and Annex A, against arithmetic, against bad input."""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import Any, List, Tuple, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPrivateNumbers,
    generate_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from push_jobs_wire import rsa
from push_jobs_wire.errors import LocalError, RemoteError

ANNEX_A_BODY = b'{"sequence":1,"timestamp":"Thu, 01 Jan 2026 00:00:00 GMT","type":"abort"}'
ANNEX_A_TEXT = b"KrjvYun5QzQ/O1681QbI+Wg2Qnw="


def numbers_of(key: RSAPrivateKey) -> RSAPrivateNumbers:
    return cast(RSAPrivateNumbers, getattr(key, "private_numbers")())


# Not a multiple of eight bits: the block then has one byte more than the bits suggest.
@pytest.fixture(scope="module", params=[1024, 1031])
def key(request: pytest.FixtureRequest) -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=request.param)


def public_parts(key: RSAPrivateKey) -> Tuple[int, int, int]:
    numbers = key.public_key().public_numbers()
    return numbers.n, numbers.e, (key.key_size + 7) // 8


def encrypt_block(key: RSAPrivateKey, block: bytes) -> bytes:
    """A signature over any block, well formed or not, made the slow and obvious way."""
    n, _, size = public_parts(key)
    return pow(int.from_bytes(block, "big"), numbers_of(key).d, n).to_bytes(size, "big")


def test_the_text_of_the_annex() -> None:
    assert rsa.signing_text(ANNEX_A_BODY) == ANNEX_A_TEXT


def test_the_block_is_type_1_without_a_digest_info(key: RSAPrivateKey) -> None:
    n, e, size = public_parts(key)
    signature = rsa.sign_raw(key, ANNEX_A_TEXT)
    padding = b"\xff" * (size - 3 - len(ANNEX_A_TEXT))
    block = pow(int.from_bytes(signature, "big"), e, n).to_bytes(size, "big")
    assert len(signature) == size
    assert block == b"\x00\x01" + padding + b"\x00" + ANNEX_A_TEXT
    assert signature == encrypt_block(key, block)


@settings(deadline=None, max_examples=50)
@given(text=st.binary(max_size=117))
def test_what_is_signed_is_recovered(key: RSAPrivateKey, text: bytes) -> None:
    n, e, _ = public_parts(key)
    assert rsa.recover_raw(n, e, rsa.sign_raw(key, text)) == text


def test_the_longest_text_fits_and_one_byte_more_does_not(key: RSAPrivateKey) -> None:
    n, e, size = public_parts(key)
    longest = b"x" * (size - 11)
    assert rsa.recover_raw(n, e, rsa.sign_raw(key, longest)) == longest
    with pytest.raises(LocalError, match=f"use a key of at least {size * 8 + 8} bits"):
        rsa.sign_raw(key, longest + b"x")


def test_secret_exponents_never_see_the_block(
    key: RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = numbers_of(key)
    secret = {numbers.d, numbers.dmp1, numbers.dmq1}
    bases: List[int] = []

    def spy(base: int, exponent: int, modulus: int) -> int:
        if exponent in secret:
            bases.append(base)
        return builtins.pow(base, exponent, modulus)

    monkeypatch.setattr(rsa, "pow", spy, raising=False)
    signatures = {rsa.sign_raw(key, ANNEX_A_TEXT) for _ in range(3)}
    assert len(signatures) == 1
    assert len(bases) == len(set(bases)) == 6


class DamagedKey:
    """A key of which one of the parts used to save time is wrong."""

    def __init__(self, key: RSAPrivateKey) -> None:
        good = numbers_of(key)
        self.numbers = RSAPrivateNumbers(
            p=good.p,
            q=good.q,
            d=good.d,
            dmp1=good.dmp1 ^ 2,
            dmq1=good.dmq1,
            iqmp=good.iqmp,
            public_numbers=good.public_numbers,
        )

    def private_numbers(self) -> RSAPrivateNumbers:
        return self.numbers


def test_a_wrong_calculation_is_not_given_away(key: RSAPrivateKey) -> None:
    damaged = cast(RSAPrivateKey, DamagedKey(key))
    with pytest.raises(LocalError, match="do not fit together"):
        rsa.sign_raw(damaged, ANNEX_A_TEXT)


def malformed_blocks(size: int) -> List[bytes]:
    padded = b"\xff" * (size - 6)
    return [
        b"\x00\x02" + padded + b"\x00abc",  # type 2
        b"\x00\x00" + padded + b"\x00abc",  # type 0
        b"\x01\x01" + padded + b"\x00abc",
        b"\x00\x01" + padded + b"\xff\xff\xff\xff",  # no end of the padding
        b"\x00\x01" + b"\xff" * 7 + b"\x00" + b"a" * (size - 10),  # padding too short
        b"\x00\x01\x00" + b"a" * (size - 3),  # no padding
        b"\x00\x01" + b"\xff" * 20 + b"\xfe" + b"\xff" * (size - 27) + b"\x00abc",
        b"\x00" * size,
        b"\x00" * (size - 1) + b"\x01",
    ]


@pytest.mark.parametrize("number", range(9))
def test_malformed_blocks_are_refused(key: RSAPrivateKey, number: int) -> None:
    n, e, size = public_parts(key)
    block = malformed_blocks(size)[number]
    assert len(block) == size and int.from_bytes(block, "big") < n
    with pytest.raises(RemoteError, match="not made with this key"):
        rsa.recover_raw(n, e, encrypt_block(key, block))


def test_eight_bytes_of_padding_are_enough(key: RSAPrivateKey) -> None:
    n, e, size = public_parts(key)
    text = b"\x00\xff" + b"a" * (size - 13)
    block = b"\x00\x01" + b"\xff" * 8 + b"\x00" + text
    assert rsa.recover_raw(n, e, encrypt_block(key, block)) == text


def test_signatures_of_a_wrong_length_are_refused(key: RSAPrivateKey) -> None:
    n, e, size = public_parts(key)
    signature = rsa.sign_raw(key, ANNEX_A_TEXT)
    for wrong in (b"", signature[:-1], signature[1:], b"\x00" + signature, signature + b"\x00"):
        with pytest.raises(RemoteError, match=f"{size} expected"):
            rsa.recover_raw(n, e, wrong)


def test_a_number_not_below_the_modulus_is_refused(key: RSAPrivateKey) -> None:
    n, e, size = public_parts(key)
    signature = int.from_bytes(rsa.sign_raw(key, ANNEX_A_TEXT), "big")
    largest = (1 << size * 8) - 1
    for value in {n, min(n + signature, largest), largest}:
        with pytest.raises(RemoteError, match="not made with this key"):
            rsa.recover_raw(n, e, value.to_bytes(size, "big"))


def test_the_signature_of_another_key_is_refused(key: RSAPrivateKey) -> None:
    n, e, _ = public_parts(key)
    other = generate_private_key(public_exponent=65537, key_size=key.key_size)
    with pytest.raises(RemoteError):
        rsa.recover_raw(n, e, rsa.sign_raw(other, ANNEX_A_TEXT))


@settings(deadline=None)
@given(signature=st.binary(max_size=140))
def test_no_bytes_raise_anything_but_a_remote_error(key: RSAPrivateKey, signature: bytes) -> None:
    n, e, _ = public_parts(key)
    with pytest.raises(RemoteError):
        rsa.recover_raw(n, e, signature)


def test_importing_and_recovering_needs_the_standard_library_only(key: RSAPrivateKey) -> None:
    n, e, _ = public_parts(key)
    signature = rsa.sign_raw(key, ANNEX_A_TEXT)
    program = (
        "import sys; from push_jobs_wire import rsa;"
        f"print(rsa.recover_raw({n}, {e}, bytes.fromhex('{signature.hex()}')).decode());"
        "print('cryptography' in sys.modules)"
    )
    done: Any = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [ANNEX_A_TEXT.decode(), "False"]
