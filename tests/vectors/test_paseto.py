"""The official v4.public vectors of the PASETO specification, and pyseto as a second opinion."""

import pyseto
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from postkeep.base.errors import RefusedError
from postkeep.crypto import paseto

SEED = bytes.fromhex("b4cbfb43df4ce210727d953e4a713307fa19bb7d9f85041438d9e11b942a3774")
PUBLIC = bytes.fromhex("1eb9dbbbbc047c03fd70604e0071f0987e16b28b757225c11f00415d0e20b1a2")
PAYLOAD = b'{"data":"this is a signed message","exp":"2022-01-01T00:00:00+00:00"}'
FOOTER = b'{"kid":"zVhMiPBP9fRf2snEcT7gFTioeA9COcNy9DfgL1W60haN"}'
HEAD = (
    b"v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMVQwMDowMDowMCswMDowMCJ9"
)
TAIL = b".eyJraWQiOiJ6VmhNaVBCUDlmUmYyc25FY1Q3Z0ZUaW9lQTlDT2NOeTlEZmdMMVc2MGhhTiJ9"
VECTORS = {
    "4-S-1": (
        HEAD + b"bg_XBBzds8lTZShVlwwKSgeKpLT3yukTw6JUz3W4h_ExsQV-P0V54zemZDcAxFaSeef1QlXEFtkqxT1ciiQEDA",
        b"",
        b"",
    ),
    "4-S-2": (
        HEAD
        + b"v3Jt8mx_TdM2ceTGoqwrh4yDFn0XsHvvV_D0DtwQxVrJEBMl0F2caAdgnpKlt4p7xBnx1HcO-SPo8FPp214HDw"
        + TAIL,
        FOOTER,
        b"",
    ),
    "4-S-3": (
        HEAD
        + b"NPWciuD3d0o5eXJXG5pJy-DiVEoyPYWs1YSTwWHNJq6DZD3je5gf-0M4JR9ipdUSJbIovzmBECeaWmaqcaP0DQ"
        + TAIL,
        FOOTER,
        b'{"test-vector":"4-S-3"}',
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_the_official_tokens_are_made_and_read(name: str) -> None:
    token, footer, implicit = VECTORS[name]
    signer = Ed25519PrivateKey.from_private_bytes(SEED).sign
    assert paseto.sign(signer, PAYLOAD, footer, implicit) == token
    assert paseto.verify(PUBLIC, token, footer, implicit) == PAYLOAD


@pytest.mark.parametrize("name", VECTORS)
def test_a_changed_token_footer_or_assertion_is_refused(name: str) -> None:
    token, footer, implicit = VECTORS[name]
    for position in range(0, len(token), 7):
        other = b"A" if token[position : position + 1] != b"A" else b"B"
        with pytest.raises(RefusedError):
            paseto.verify(PUBLIC, token[:position] + other + token[position + 1 :], footer, implicit)
    with pytest.raises(RefusedError):
        paseto.verify(PUBLIC, token, footer + b"x", implicit)
    with pytest.raises(RefusedError) as caught:
        paseto.verify(PUBLIC, token, footer, implicit + b"x")
    assert caught.value.code == "refused.signature"
    with pytest.raises(RefusedError):
        paseto.verify(bytes(32), token, footer, implicit)


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"v4.public.",
        b"v4.public.AAAA",
        b"v3.public." + b"A" * 100,
        b"v4.local." + b"A" * 100,
        VECTORS["4-S-1"][0] + b"=",
        VECTORS["4-S-1"][0] + b".",
        VECTORS["4-S-1"][0] + b"\n",
        VECTORS["4-S-1"][0][:-1] + b"B",  # the unused bits of the last character
        b"v4.public." + b"A" * 10_000,
    ],
)
def test_what_is_not_canonical_is_malformed(token: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        paseto.parse(token)
    assert caught.value.code == "refused.malformed"


def test_the_encoding_is_injective() -> None:
    assert paseto.pae() == bytes(8)
    assert paseto.pae(b"test") == b"\x01" + bytes(7) + b"\x04" + bytes(7) + b"test"
    assert paseto.pae(b"ab", b"c") != paseto.pae(b"a", b"bc")


def test_pyseto_reads_our_tokens_and_we_read_its() -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    private_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public_pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    ours = paseto.sign(key.sign, b"ours", implicit=b"here")
    read = pyseto.decode(pyseto.Key.new(4, "public", public_pem), ours, implicit_assertion=b"here")
    assert read.payload == b"ours"
    theirs = pyseto.encode(pyseto.Key.new(4, "public", private_pem), b"theirs", implicit_assertion=b"here")
    assert paseto.verify(public, theirs, implicit=b"here") == b"theirs"
