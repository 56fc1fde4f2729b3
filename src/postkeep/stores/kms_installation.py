"""Rows of kms that belong to the installation: the root's check, named keys, the last signed tree head."""

# ruff: noqa: S608 - column names and conditions come from constants of this file

from typing import Final, NamedTuple

import asyncpg

from postkeep.base.errors import ConflictError, NotFoundError, UnavailableError
from postkeep.stores.kms_rows import KmsRows


class NamedKeyRow(NamedTuple):
    """A key with a name (`directory`, `tls` ...): wrapped under the root key, its public part beside it."""

    wrapped: bytes
    public: bytes
    root: int = 1
    """The generation of the root key that wraps it."""


class RootCheckRow(NamedTuple):
    """A generation of the root key, as far as it is stored here: what tells it from others."""

    generation: int
    wrapped: bytes
    slot: int | None
    """The slot without which the key opens nothing; None: made before generations had slots."""
    handed: bytes | None
    """The key itself under the generation before it, until the seal holds it."""


class SignedHead(NamedTuple):
    """A tree head of the ledger that was signed."""

    origin: str
    size: int
    root: bytes


_HELD_ROOT: Final = "SELECT generation FROM root_checks WHERE generation = $4 FOR KEY SHARE"
"""Keeps a generation of the root key from ending before the row that it wraps is there to be seen."""


def _check_root(done: object) -> None:
    if done is None:
        raise UnavailableError("the root key was rotated meanwhile, or the name is gone")


class KmsInstallationRows(KmsRows):
    """The tables of the installation's own keys in the database of kms."""

    async def root_checks(self) -> list[RootCheckRow]:
        """Return the generations of the root key, the oldest first: none before there is a root key, two
        while everything is wrapped anew."""
        rows = await self._all(
            "SELECT generation, wrapped, slot, handed FROM root_checks ORDER BY generation"
        )
        return [RootCheckRow(*row) for row in rows]

    async def set_root_check(self, wrapped: bytes) -> None:
        """Store the first root key's check, once."""
        await self._run("INSERT INTO root_checks (wrapped) VALUES ($1)", wrapped)

    async def set_first_root_slot(self, slot: int) -> bool:
        """Give the first root key its slot, if it has none and nothing is wrapped under it yet."""
        updated = await self._value(
            "UPDATE root_checks SET slot = $1 WHERE generation = 1 AND slot IS NULL"
            " AND NOT EXISTS (SELECT FROM named_keys) AND NOT EXISTS (SELECT FROM tenant_keys)"
            " RETURNING true",
            slot,
        )
        return bool(updated)

    async def named_key(self, name: str) -> NamedKeyRow | None:
        """Return a named key."""
        row = await self._one("SELECT wrapped, public, root FROM named_keys WHERE name = $1", name)
        return None if row is None else NamedKeyRow(*row)

    async def key_names(self, prefix: str) -> list[str]:
        """List the names of keys that begin so, in their order."""
        rows = await self._all(
            'SELECT name FROM named_keys WHERE starts_with(name, $1) ORDER BY name COLLATE "C"', prefix
        )
        return [row[0] for row in rows]

    async def key_created_ms(self, name: str) -> int:
        """Return when a named key was made; NotFoundError if there is none."""
        created: int | None = await self._value("SELECT created_ms FROM named_keys WHERE name = $1", name)
        if created is None:
            raise NotFoundError(f"there is no key named {name}")
        return created

    async def remove_named_key(self, name: str) -> None:
        """Forget a named key; one that is gone already is no error."""
        await self._run("DELETE FROM named_keys WHERE name = $1", name)

    async def add_named_key(self, name: str, row: NamedKeyRow, now_ms: int) -> None:
        """Add a named key; ConflictError if the name is taken, UnavailableError if its root key is gone."""
        try:
            added = await self._value(
                "INSERT INTO named_keys (name, wrapped, public, root, created_ms)"
                " SELECT $1, $2, $3, $4, $5 FROM (" + _HELD_ROOT + ") AS held RETURNING true",
                name,
                *row,
                now_ms,
            )
        except asyncpg.UniqueViolationError as exc:
            raise ConflictError(f"there is a key named {name} already") from exc
        _check_root(added)

    async def replace_named_key(self, name: str, row: NamedKeyRow, now_ms: int) -> None:
        """Put another key in the place of the one with this name; UnavailableError if its root key is
        gone."""
        _check_root(
            await self._value(
                "WITH held AS (" + _HELD_ROOT + ")"
                " UPDATE named_keys SET wrapped = $2, public = $3, root = $4, created_ms = $5 FROM held"
                " WHERE name = $1 RETURNING true",
                name,
                *row,
                now_ms,
            )
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
