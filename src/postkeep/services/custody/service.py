"""The custody process's methods: to the customer's token or key server, where the operator allows it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from postkeep.base.errors import IntegrityError, RefusedError
from postkeep.base.secret import Secret
from postkeep.services.custody import api, transit
from postkeep.services.kms.pkcs11 import Token, TokenError, TokenPlace
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

CALLS_MAX: Final = 16
"""Calls to custodians at a time; the others wait."""


class CustodyService:
    """The methods of `custody.api`."""

    def __init__(self, servers: tuple[str, ...], modules: tuple[str, ...]) -> None:
        """Allow these key servers (URLs) and these PKCS#11 modules (paths)."""
        self._servers = frozenset(transit.parse_url(url) for url in servers)
        self._modules = {str(Path(module)): asyncio.Lock() for module in modules}
        self._calls = asyncio.Semaphore(CALLS_MAX)

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the table that the channel's server takes."""
        return {"custody.wrap": (api.Wrap, self.wrap), "custody.unwrap": (api.Unwrap, self.unwrap)}

    async def wrap(self, _grant: Grant, request: api.Wrap) -> api.Value:
        """Wrap a secret under the customer's key."""
        self._check(request.place)
        if request.place.kind == "transit":
            async with self._calls:
                value = await transit.encrypt(request.place, request.secret)
        else:
            value = await self._with_token(request.place, request.path, request.secret, wrap=True)
        return api.Value(transit.check_wrapped(value))

    async def unwrap(self, _grant: Grant, request: api.Unwrap) -> api.Value:
        """Answer `custody.unwrap`."""
        return await self.open(request)

    async def open(self, request: api.Unwrap) -> api.Value:
        """Have the customer's key open what it has wrapped."""
        self._check(request.place)
        if request.place.kind == "transit":
            async with self._calls:
                value = await transit.decrypt(request.place, request.wrapped)
        else:
            value = await self._with_token(request.place, request.path, request.wrapped, wrap=False)
        if len(value) != api.SECRET_BYTES:
            raise transit.refused("the custodian has opened something else")
        return api.Value(value)

    def _check(self, place: api.Place) -> None:
        """Raise RefusedError for a place that the operator has not allowed."""
        if place.kind == "transit":
            transit.check_place(place)
            if transit.parse_url(place.where) not in self._servers:
                raise _not_allowed("transit", place.where)
        elif place.where not in self._modules:
            raise _not_allowed("modules", place.where)

    async def _with_token(self, place: api.Place, path: bytes, data: bytes, *, wrap: bool) -> bytes:
        """One login per call, so that a changed PIN or a key that is gone is noticed at once."""
        async with self._modules[place.where]:
            return await asyncio.to_thread(_use_token, place, path, data, wrap=wrap)


def _use_token(place: api.Place, path: bytes, data: bytes, *, wrap: bool) -> bytes:
    token = Token(TokenPlace(place.where, place.token, place.key), Secret(place.secret.encode()))
    try:
        token.look_again()
        if wrap:
            token.ensure_key()
            return token.wrap(data, path)
        return token.unwrap(data, path)
    except TokenError as error:
        raise transit.refused(f"{error.code}: {error.detail}") from error
    except IntegrityError as error:
        raise transit.refused("another key than the one that wrapped") from error
    finally:
        token.close()


def _not_allowed(option: str, where: str) -> RefusedError:
    return RefusedError(
        f"{where} is not allowed under [custody]",
        code="refused.custody",
        public_text=f"{where} is not among `{option}` under [custody] in postkeep.toml.",
    )
