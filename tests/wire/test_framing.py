"""Headers, signatures and timestamps against pushy-protocol 4 and Annex A."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from push_jobs_wire import framing
from push_jobs_wire.errors import RemoteError
from push_jobs_wire.framing import FramingError, Header, parse_header

KEY = bytes(range(32))
BODY = b'{"sequence":1,"timestamp":"Thu, 01 Jan 2026 00:00:00 GMT","type":"abort"}'
SIGNATURE = "7uWHFdmjk4SNnq7YRY7MLn7QE0w8YM76mI3XuKYAQH0="
HEADER = b"Version:2.0;SigningMethod:hmac_sha256;Signature:" + SIGNATURE.encode()
NEW_YEAR = 1_767_225_600.0


@pytest.mark.proves("P-10a")
def test_the_hmac_header_of_annex_a() -> None:
    assert framing.seal_hmac(KEY, BODY) == HEADER
    framing.check_hmac(KEY, parse_header(HEADER), BODY)


@pytest.mark.parametrize(
    ("frame", "header"),
    [
        (b"Version:1.0;SigningMethod:m;Signature:s", Header("1.0", "m", "s")),
        (b"Version:2.0;SigningMethod:m;SignedChecksum:s", Header("2.0", "m", "s")),
        (b"Signature:s;Version:2.0", Header("2.0", "", "s")),
        (b"Version:2.0;New:x;Signature:a:b", Header("2.0", "", "a:b")),
        (b"Version:9;Version:2.0;Signature:a;Signature:b", Header("2.0", "", "b")),
    ],
)
def test_headers_that_are_read(frame: bytes, header: Header) -> None:
    assert parse_header(frame) == header


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"Signature:s",
        b"Version:3.0;Signature:s",
        b"version:2.0;Signature:s",
        b"Version: 2.0;Signature:s",
        b"Version:2.0;SigningMethod:hmac_sha256",
        b"Version:2.0;Signature:",
        b"Version:2.0;Signature:\xff",
    ],
)
def test_headers_that_are_refused(frame: bytes) -> None:
    with pytest.raises(FramingError):
        parse_header(frame)


def test_a_header_may_have_exactly_the_limit() -> None:
    frame = b"Version:2.0;Signature:".ljust(framing.MAX_HEADER, b"x")
    assert parse_header(frame).version == "2.0"
    with pytest.raises(FramingError, match="at most 2048"):
        parse_header(frame + b"x")


@pytest.mark.parametrize(
    "header",
    [
        Header("1.0", framing.HMAC, SIGNATURE),
        Header("2.0", "", SIGNATURE),
        Header("2.0", framing.RSA, SIGNATURE),
        Header("2.0", framing.HMAC, SIGNATURE.rstrip("=")),
        Header("2.0", framing.HMAC, SIGNATURE + "\n"),
        Header("2.0", framing.HMAC, " " + SIGNATURE),
    ],
)
def test_hmac_signatures_that_are_refused(header: Header) -> None:
    with pytest.raises(FramingError):
        framing.check_hmac(KEY, header, BODY)


def test_another_body_or_key_is_refused() -> None:
    header = parse_header(HEADER)
    for key, body in ((KEY, BODY + b" "), (KEY[::-1], BODY)):
        with pytest.raises(FramingError, match="wrong signature"):
            framing.check_hmac(key, header, body)


def test_a_header_frame_may_be_written_in_any_order() -> None:
    other = b"Signature:" + SIGNATURE.encode() + b";SigningMethod:hmac_sha256;Version:2.0"
    for frame in (HEADER, other):
        framing.check_hmac_frame(KEY, frame, BODY)
        with pytest.raises(FramingError, match="wrong signature"):
            framing.check_hmac_frame(KEY[::-1], frame, BODY)


def test_rsa_both_ways() -> None:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    numbers = key.public_key().public_numbers()
    header = parse_header(framing.seal_rsa(key, BODY))
    assert (header.method, len(header.signature)) == ("rsa2048_sha1", 344)
    framing.check_rsa(numbers.n, numbers.e, header, BODY)
    with pytest.raises(FramingError, match="wrong signature"):
        framing.check_rsa(numbers.n, numbers.e, header, BODY + b" ")
    with pytest.raises(FramingError, match="not accepted"):
        framing.check_rsa(numbers.n, numbers.e, parse_header(HEADER), BODY)


@pytest.mark.proves("P-10b")
def test_timestamps_are_written_with_two_digit_days() -> None:
    assert framing.format_timestamp(NEW_YEAR + 0.9) == "Thu, 01 Jan 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    "text",
    [
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "Thu, 01 Jan 2026 00:00:00 +0500",
        "Thursday, 01-Jan-26 00:00:00 GMT",
        "Thu Jan 01 00:00:00 2026",
    ],
)
def test_dates_that_are_read(text: str) -> None:
    assert framing.parse_timestamp(text) == NEW_YEAR


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00Z",
        "Thu, 1 Jan 2026 00:00:00 GMT",
        "Thu Jan  1 00:00:00 2026",
        "Thu, 32 Jan 2026 00:00:00 GMT",
        "Thu, 01 Jan 0000 00:00:00 GMT",
        "Thu, 01 Foo 2026 00:00:00 GMT",
        "Thu, 01 Jan 2026 00:00 GMT",
        "Thu, 0\u0661 Jan 2026 00:00:00 GMT",
        "",
    ],
)
def test_dates_that_are_refused(text: str) -> None:
    with pytest.raises(FramingError):
        framing.parse_timestamp(text)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_skew_is_exclusive(sign: int) -> None:
    text = "Thu, 01 Jan 2026 00:00:00 GMT"
    framing.check_timestamp(text, NEW_YEAR + 299 * sign, 300)
    with pytest.raises(FramingError, match="synchronize the clocks"):
        framing.check_timestamp(text, NEW_YEAR + 300 * sign, 300)


@pytest.mark.parametrize("missing", [None, 7, [], "x" * 65])
def test_a_message_without_a_timestamp_is_refused(missing: object) -> None:
    with pytest.raises(FramingError, match="without a timestamp"):
        framing.check_timestamp(missing, NEW_YEAR, 300)


HEADERISH = st.text("VersionSgatuM:;=.20 \u00e9", max_size=60).map(str.encode)


@given(st.binary(max_size=100) | HEADERISH)
def test_no_header_raises_anything_else(noise: bytes) -> None:
    for frame in (noise, HEADER + noise, b"Version:2.0;Signature:" + noise):
        try:
            header = parse_header(frame)
            framing.check_hmac(KEY, Header("2.0", framing.HMAC, header.signature), BODY + b" ")
        except RemoteError:
            continue
        raise AssertionError(frame)


@given(st.text("ABCabc0189+/=\n ", max_size=400))
def test_no_rsa_signature_raises_anything_else(signature: str) -> None:
    with pytest.raises(RemoteError):
        framing.check_rsa(2**1023 + 9, 65537, Header("2.0", framing.RSA, signature), BODY)


@given(st.text(max_size=70) | st.text("Thu, 01 Jan2026:-9\ud800", max_size=40))
def test_no_timestamp_raises_anything_else(text: str) -> None:
    try:
        framing.check_timestamp(text, NEW_YEAR, 300)
    except RemoteError:
        pass
