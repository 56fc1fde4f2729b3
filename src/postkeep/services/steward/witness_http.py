"""Posting to a witness: one request on one connection, with limits in octets and seconds."""

import asyncio
import contextlib
import ssl
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from postkeep.base.errors import InvalidInputError, PostkeepError, UnavailableError
from postkeep.protocols.http.head import END, HEAD_BYTES_MAX, read_response, write_head

POST_SECONDS_MAX: Final = 20.0  # seconds for connecting, asking and the whole answer
ANSWER_BYTES_MAX: Final = 65_536  # octets: 16 signature lines of some 3.3 kB
_PORTS: Final = {"http": 80, "https": 443}


class Answer(NamedTuple):
    """A witness's answer."""

    status: int
    content_type: str
    body: bytes


class Place(NamedTuple):
    """Where a witness is."""

    secure: bool
    host: str
    port: int
    path: str


def parse_url(url: str) -> Place:
    """Read a witness's URL, its submission prefix; raises InvalidInputError."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise InvalidInputError(public_text=f"Not the http or https URL of a witness: {url}") from None
    if not parts.hostname or parts.query or parts.fragment or parts.username:
        raise InvalidInputError(public_text=f"Not the URL of a witness: {url}")
    return Place(parts.scheme == "https", parts.hostname, port, f"{parts.path.rstrip('/')}/add-checkpoint")


class WitnessHttp:
    """Posts submissions."""

    async def post(self, url: str, body: bytes) -> Answer:
        """Post a submission; UnavailableError where nobody answers in time, or not as HTTP does."""
        place = parse_url(url)
        try:
            async with asyncio.timeout(POST_SECONDS_MAX):
                return await _exchange(place, body)
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError, ssl.SSLError) as error:
            raise UnavailableError(f"{url}: {type(error).__name__} {error}") from error
        except InvalidInputError as error:
            raise UnavailableError(f"{url}: not HTTP: {error.detail}") from error


async def _exchange(place: Place, body: bytes) -> Answer:
    context = ssl.create_default_context() if place.secure else None
    reader, writer = await asyncio.open_connection(place.host, place.port, ssl=context, limit=HEAD_BYTES_MAX)
    try:
        host = f"[{place.host}]" if ":" in place.host else place.host
        fields = {
            "Host": f"{host}:{place.port}",
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        writer.write(write_head(f"POST {place.path} HTTP/1.1", fields) + body)
        await writer.drain()
        head = read_response(await reader.readuntil(END))
        length = head.length()
        if length > ANSWER_BYTES_MAX:
            raise InvalidInputError("the answer is too long")
        kind = head.fields.get("content-type", "")
        return Answer(head.status, kind, await reader.readexactly(length))
    finally:
        writer.close()
        with contextlib.suppress(OSError, PostkeepError):
            await writer.wait_closed()
