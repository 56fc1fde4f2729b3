"""A key server with the transit interface of Vault and OpenBao: encrypt and decrypt under a named key.

Source: https://openbao.org/api-docs/secret/transit/ (encrypt data, decrypt data). One request on one
connection, with limits in octets and seconds; the server is known by the certificate authority that the
customer gave.
"""

import asyncio
import base64
import binascii
import contextlib
import re
import ssl
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from postkeep.base.errors import InvalidInputError, PostkeepError, UnavailableError
from postkeep.protocols.http.head import END, HEAD_BYTES_MAX, read_response, write_head
from postkeep.services.custody.api import WRAPPED_BYTES_MAX, Place

ASK_SECONDS_MAX: Final = 10.0  # seconds for connecting, asking and the whole answer
ANSWER_BYTES_MAX: Final = 16_384  # octets: an answer is some 500
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_PORT: Final = 8200
_HTTP_OK: Final = 200
_HTTP_FORBIDDEN: Final = (400, 403, 404)
"""Refused: no right, no such key, or a key that may no longer decrypt this."""


class Server(NamedTuple):
    """Where a key server is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_url(url: str) -> Server:
    """Read the https URL of a key server; InvalidInputError with a text for the operator."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
    except ValueError:
        raise _bad_url(url) from None
    plain = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
    if parts.scheme != "https" or not parts.hostname or not plain:
        raise _bad_url(url)
    return Server(parts.hostname, port)


def check_place(place: Place) -> None:
    """Raise InvalidInputError unless names, URL and certificate are such."""
    parse_url(place.where)
    for name in (place.key, *place.mount.split("/")):
        if not _NAME.match(name):
            raise InvalidInputError(public_text=f"Not a name that a key server has for a key: {name!r}")
    if not place.secret.isascii() or not place.secret.isprintable():
        raise InvalidInputError(public_text="An access token is printable ASCII.")
    _tls(place)


async def encrypt(place: Place, secret: bytes) -> bytes:
    """Have the server encrypt; UnavailableError (`unavailable.custody`) if it refuses or does not answer."""
    answer = await _ask(place, "encrypt", {"plaintext": base64.b64encode(secret).decode()})
    return answer.get("ciphertext", "").encode()


async def decrypt(place: Place, wrapped: bytes) -> bytes:
    """Have the server decrypt; errors as `encrypt`."""
    answer = await _ask(place, "decrypt", {"ciphertext": wrapped.decode("ascii", "replace")})
    try:
        return base64.b64decode(answer.get("plaintext", ""), validate=True)
    except binascii.Error as exc:
        raise _away("its answer is not base64") from exc


class _Answer(msgspec.Struct, frozen=True):
    data: dict[str, object] = {}


async def _ask(place: Place, act: str, body: dict[str, str]) -> dict[str, str]:
    server = parse_url(place.where)
    try:
        async with asyncio.timeout(ASK_SECONDS_MAX):
            status, content = await _exchange(place, server, act, msgspec.json.encode(body))
    except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError, InvalidInputError) as error:
        raise _away(f"{type(error).__name__} {error}") from error
    if status in _HTTP_FORBIDDEN:
        raise refused(f"the key server answers {status}")
    if status != _HTTP_OK:
        raise _away(f"the key server answers {status}")
    try:
        data = msgspec.json.decode(content, type=_Answer).data
    except msgspec.MsgspecError as exc:
        raise _away("its answer is not the transit interface's") from exc
    return {name: value for name, value in data.items() if isinstance(value, str)}


async def _exchange(place: Place, server: Server, act: str, body: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(
        server.host, server.port, ssl=_tls(place), limit=HEAD_BYTES_MAX
    )
    try:
        fields = {
            "Host": str(server),
            "X-Vault-Token": place.secret,
            "X-Vault-Request": "true",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        start = f"POST /v1/{place.mount}/{act}/{place.key} HTTP/1.1"
        writer.write(write_head(start, fields) + body)
        await writer.drain()
        head = read_response(await reader.readuntil(END))
        length = head.length()
        if length > ANSWER_BYTES_MAX:
            raise InvalidInputError("the answer is too long")
        return head.status, await reader.readexactly(length)
    finally:
        writer.close()
        with contextlib.suppress(OSError, PostkeepError):
            await writer.wait_closed()


def _tls(place: Place) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=place.ca_pem)
    except (ssl.SSLError, ValueError) as exc:
        raise InvalidInputError(public_text="The file of the certificate authority is not PEM.") from exc
    return context


def refused(detail: str) -> UnavailableError:
    """Make the error for a customer's key that says no."""
    return UnavailableError(
        detail,
        code="unavailable.custody",
        public_text="The company's own key does not open its mail at the moment.",
    )


def _away(detail: str) -> UnavailableError:
    return refused(f"the key server is away: {detail}")


def _bad_url(url: str) -> InvalidInputError:
    return InvalidInputError(
        public_text=f"Not the https URL of a key server, as https://vault.example.com:8200: {url}"
    )


def check_wrapped(wrapped: bytes) -> bytes:
    """Return what a custodian has wrapped; UnavailableError if that can't be it."""
    if not 0 < len(wrapped) <= WRAPPED_BYTES_MAX:
        raise _away("what it wrapped has an impossible length")
    return wrapped
