"""What operators ask about access tokens, as values on the wire."""

import msgspec

from postkeep.services.authority.tokens_api import AccessToken
from postkeep.services.steward.api import Command


class TokenCreate(Command, frozen=True):
    """`steward.token_create`: answers `AccessToken` with the token, this once."""

    address: str
    name: str
    protocols: list[str]
    """Of `imap` and `submission`."""
    days: int


class TokenAll(Command, frozen=True):
    """`steward.token_list`: answers `AccessTokens`."""

    address: str


class AccessTokens(msgspec.Struct, frozen=True):
    """Oldest first."""

    tokens: list[AccessToken]


class TokenDelete(Command, frozen=True):
    """`steward.token_delete`: sessions opened with it end."""

    address: str
    id: bytes
