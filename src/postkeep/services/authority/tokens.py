"""Access tokens (RFC 6750) of this server's own making: minted here, kept as a keyed hash, checked here.

A token is `pkt_` and base64url of its owner's identifier and 32 random octets. So it names whose it is, and
nobody guesses it: a fast hash under a key of the account key is enough.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from typing import Final

import msgspec

from postkeep.base.errors import InvalidInputError, LimitError
from postkeep.base.ids import ID_BYTES, NOBODY, new_id
from postkeep.services.authority import api, tokens_api
from postkeep.services.authority.passwords import Credential
from postkeep.services.authority.state import AuthorityState
from postkeep.stores.authority_access import CredentialRow
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

PREFIX: Final = "pkt_"
"""Tells people, and what scans for leaked secrets, what it is."""
SECRET_BYTES: Final = 32
TOKEN_CHARACTERS: Final = len(PREFIX) + (ID_BYTES + SECRET_BYTES) * 4 // 3
TOKENS_MAX: Final = 32
"""Of one person: a client each."""
DAYS_MAX: Final = 400
"""A token that nobody renews for longer than a year is forgotten, not used."""
NAME_CHARACTERS_MAX: Final = 200
PROTOCOLS: Final = frozenset({"imap", "submission"})
KIND: Final = "token"
"""How its rows are called among a person's credentials."""
DAY_MS: Final = 86_400_000


def make_token(principal: bytes) -> str:
    """Make a new token of somebody's."""
    return PREFIX + base64.urlsafe_b64encode(principal + secrets.token_bytes(SECRET_BYTES)).decode()


def owner_of(token: str) -> bytes | None:
    """Return whose a token says it is; None for what is no token of this form."""
    if len(token) != TOKEN_CHARACTERS or token[: len(PREFIX)] != PREFIX:
        return None
    try:
        octets = base64.b64decode(token[len(PREFIX) :], altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return octets[:ID_BYTES]


def token_verifier(secret_key: bytes, token: str) -> bytes:
    """Return the keyed hash of a token."""
    return hmac.digest(secret_key, token.encode(), "sha256")


class TokenDesk:
    """The methods by which tokens are made, listed and taken away."""

    def __init__(self, state: AuthorityState) -> None:
        self._state = state

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the methods by their name on the wire."""
        return {
            "authority.create_token": (tokens_api.CreateToken, self.create_token),
            "authority.list_tokens": (tokens_api.ListTokens, self.list_tokens),
            "authority.delete_token": (tokens_api.DeleteToken, self.delete_token),
        }

    async def create_token(self, grant: Grant, request: tokens_api.CreateToken) -> tokens_api.AccessToken:
        """Make one more token for one client; the answer alone shows it."""
        row = await self._state.directory.principal(request.principal)
        _check(request, row.kind)
        held = [one for one in await self._state.access.credentials(row.principal) if one.kind == KIND]
        now_ms = self._state.clock.now_ms()
        for one in held:
            if one.id == request.id or self._open(one).expires_ms <= now_ms:
                await self._remove(grant, row.principal, one.id)
        if len(await self._held(row.principal)) >= TOKENS_MAX:
            raise LimitError(
                public_text=f"A person has at most {TOKENS_MAX} access tokens: delete one first."
            )
        token = make_token(row.principal)
        made = Credential(
            token_verifier(self._state.seal.token_key, token),
            b"",
            b"",
            0,
            request.name,
            tuple(sorted(set(request.protocols))),
            now_ms + request.days * DAY_MS,
        )
        identifier = request.id or new_id()
        sealed = self._state.seal.seal(made, "credentials", row.principal, identifier)
        credential = CredentialRow(row.tenant, row.principal, identifier, KIND, sealed, now_ms)
        await self._state.access.add_credential(credential)
        self._state.note_change(grant, "token.create", tenant=row.tenant, principal=row.principal)
        return _shown(credential, made, token)

    async def list_tokens(self, _grant: Grant, request: tokens_api.ListTokens) -> tokens_api.TokenList:
        """List a person's tokens, oldest first, without the tokens."""
        held = await self._held(request.principal)
        return tokens_api.TokenList([_shown(row, self._open(row)) for row in held])

    async def delete_token(self, grant: Grant, request: tokens_api.DeleteToken) -> api.Done:
        """Take a token away and end the sessions opened with it."""
        row = await self._state.directory.principal(request.principal)
        await self._remove(grant, row.principal, request.id)
        self._state.note_change(grant, "token.delete", tenant=row.tenant, principal=row.principal)
        return api.Done()

    async def _remove(self, grant: Grant, principal: bytes, identifier: bytes) -> None:
        for session in await self._state.access.remove_credential(principal, identifier, KIND):
            await self._state.revoke(grant, api.Revoke("session", session.hex()))

    async def _held(self, principal: bytes) -> list[CredentialRow]:
        return [row for row in await self._state.access.credentials(principal) if row.kind == KIND]

    def _open(self, row: CredentialRow) -> Credential:
        return self._state.seal.open(row.sealed, Credential, "credentials", row.principal, row.id)


def _check(request: tokens_api.CreateToken, kind: str) -> None:
    if kind != "user":
        raise InvalidInputError(public_text="Only a person has access tokens.")
    if request.id and (len(request.id) != ID_BYTES or request.id == NOBODY):
        raise InvalidInputError("an identifier has sixteen octets")
    if not request.protocols or not set(request.protocols) <= PROTOCOLS:
        raise InvalidInputError(public_text="The protocols are: imap, submission.")
    if not 0 < request.days <= DAYS_MAX:
        raise InvalidInputError(public_text=f"A token is good for 1 to {DAYS_MAX} days.")
    if not 0 < len(request.name) <= NAME_CHARACTERS_MAX or not request.name.isprintable():
        raise InvalidInputError(public_text="The name of a token is too long, empty or not printable.")


def _shown(row: CredentialRow, made: Credential, token: str = "") -> tokens_api.AccessToken:
    return tokens_api.AccessToken(
        row.id, made.name, list(made.protocols), row.created_ms, made.expires_ms, row.last_used_ms, token
    )
