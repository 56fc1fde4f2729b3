"""Rows of kms that belong to the installation: the root's check, named keys, the last signed tree head."""

from typing import NamedTuple

import asyncpg

from postkeep.base.errors import ConflictError
from postkeep.stores.kms_rows import KmsRows


class NamedKeyRow(NamedTuple):
    """A key with a name (`directory`, `tls` ...): wrapped under the root key, its public part beside it."""

    wrapped: bytes
    public: bytes


class SignedHead(NamedTuple):
    """A tree head of the ledger that was signed."""

    origin: str
    size: int
    root: bytes


class KmsInstallationRows(KmsRows):
    """The tables of the installation's own keys in the database of kms."""

    async def root_check(self) -> bytes | None:
        """Return what the right root key unwraps, or None before there is one."""
        wrapped: bytes | None = await self._value("SELECT wrapped FROM root_checks")
        return wrapped

    async def set_root_check(self, wrapped: bytes) -> None:
        """Store the root key's check, once."""
        await self._run("INSERT INTO root_checks (wrapped) VALUES ($1)", wrapped)

    async def named_key(self, name: str) -> NamedKeyRow | None:
        """Return a named key."""
        row = await self._one("SELECT wrapped, public FROM named_keys WHERE name = $1", name)
        return None if row is None else NamedKeyRow(*row)

    async def add_named_key(self, name: str, row: NamedKeyRow, now_ms: int) -> None:
        """Add a named key; ConflictError if the name is taken."""
        try:
            await self._run(
                "INSERT INTO named_keys (name, wrapped, public, created_ms) VALUES ($1, $2, $3, $4)",
                name,
                *row,
                now_ms,
            )
        except asyncpg.UniqueViolationError as exc:
            raise ConflictError(f"there is a key named {name} already") from exc

    async def replace_named_key(self, name: str, row: NamedKeyRow, now_ms: int) -> None:
        """Put another key in the place of the one with this name."""
        await self._run(
            "UPDATE named_keys SET wrapped = $2, public = $3, created_ms = $4 WHERE name = $1",
            name,
            *row,
            now_ms,
        )

    async def signed_head(self) -> SignedHead | None:
        """Return the last tree head that was signed."""
        row = await self._one("SELECT origin, size, root FROM signed_heads")
        return None if row is None else SignedHead(*row)

    async def set_signed_head(self, head: SignedHead) -> None:
        """Remember a tree head, before it is signed."""
        await self._run(
            "INSERT INTO signed_heads (origin, size, root) VALUES ($1, $2, $3) ON CONFLICT (only_row)"
            " DO UPDATE SET origin = excluded.origin, size = excluded.size, root = excluded.root",
            *head,
        )
