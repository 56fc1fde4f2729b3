"""Access tokens: what a program signs in with in place of a password, as values on the wire."""

import msgspec


class TokenSignIn(msgspec.Struct, frozen=True):
    """`authority.token_sign_in`: check an access token (RFC 6750) and open a session with it."""

    token: str
    address: str
    """Whom the client says it signs in; empty: the token's owner. Somebody else: refused."""
    network: str
    protocol: str
    program: str = ""

    def __repr__(self) -> str:
        return "TokenSignIn(...)"


class CreateToken(msgspec.Struct, frozen=True):
    """`authority.create_token`: one more token for one client; shown once."""

    principal: bytes
    name: str
    protocols: list[str]
    days: int
    """How long it is good."""
    id: bytes = b""
    """Its identifier; one that the user has already is replaced (its answer was lost). Empty: a new one."""


class AccessToken(msgspec.Struct, frozen=True):
    """A token; `token` is filled only in the answer that creates it."""

    id: bytes
    name: str
    protocols: list[str]
    created_ms: int
    expires_ms: int
    last_used_ms: int | None = None
    token: str = ""

    def __repr__(self) -> str:
        return "AccessToken(...)"


class ListTokens(msgspec.Struct, frozen=True):
    """`authority.list_tokens`."""

    principal: bytes


class TokenList(msgspec.Struct, frozen=True):
    """Oldest first, those that have run out included."""

    tokens: list[AccessToken]


class DeleteToken(msgspec.Struct, frozen=True):
    """`authority.delete_token`: it is void at once, and the sessions opened with it end."""

    principal: bytes
    id: bytes
