"""Destroying again, in a restored copy that nobody serves yet, what was destroyed since the copy was made."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from postkeep.model.backup import Manifest, Tombstone
from postkeep.stores.backup_replay import drop_accounts, drop_dead, drop_owner, recount, slots_of_rows
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.postgres import Connection
from postkeep.stores.slots import ErasableSlots

STATE_LEAP: Final = 1_000_000
"""What the key store's count of changes goes up by: no number that it had after the copy was made comes
again."""
SLOTS_AT_ONCE: Final = 100_000


class Replayed(NamedTuple):
    """What was destroyed again."""

    messages: int
    owners: int
    keys: int


async def replay_kms(
    rows: KmsKeyRows, slots: ErasableSlots, owners: Sequence[tuple[bytes, bytes]], now_ms: int
) -> int:
    """Shred the keys of principals and tenants, and level the key store's count; return how many keys."""
    keys = 0
    for tenant, principal in owners:
        found = await rows.slots_of(tenant, principal)
        await rows.mark_shredded(tenant, principal, now_ms)
        slots.erase_many(found)
        await rows.delete(tenant, principal)
        keys += len(found)
    state = max(await rows.state(), slots.state) + STATE_LEAP
    slots.set_state(state)
    await rows.set_state(state)
    return keys


async def replay_vault(
    vault: Connection,
    wraps: ErasableSlots,
    erased: Iterable[tuple[int, int]],
    owners: Sequence[tuple[bytes, bytes]],
    now_ms: int,
) -> int:
    """Overwrite wraps, drop the rows of all messages that have none, and count anew; return how many
    messages.

    `erased`: ranges (first, count).
    """
    for first, count in erased:
        for begin in range(first, first + count, SLOTS_AT_ONCE):
            wraps.erase_many(range(begin, min(begin + SLOTS_AT_ONCE, first + count)))
    for tenant, principal in owners:
        await drop_owner(vault, tenant, principal)
    dead: list[int] = []
    referred = await slots_of_rows(vault)
    for begin in range(0, len(referred), SLOTS_AT_ONCE):
        batch = referred[begin : begin + SLOTS_AT_ONCE]
        dead += [slot for slot, record in zip(batch, wraps.read_many(batch), strict=True) if record is None]
    dropped = await drop_dead(vault, sorted(set(dead)))
    await recount(vault, now_ms)
    return dropped


async def replay_authority(authority: Connection, owners: Sequence[tuple[bytes, bytes]]) -> int:
    """Drop the accounts of principals and tenants, and end every session; return how many accounts."""
    return await drop_accounts(authority, owners)


def owners_of(tombstones: Iterable[Tombstone]) -> list[tuple[bytes, bytes]]:
    """Return whose keys were destroyed, each once."""
    return list(dict.fromkeys(owner for tombstone in tombstones for owner in tombstone.shredded))


def slots_erased(tombstones: Iterable[Tombstone], line: str) -> list[tuple[int, int]]:
    """Return the ranges of wraps that were overwritten in one line's life: first and count."""
    return [
        (first, count)
        for tombstone in tombstones
        if tombstone.line == line
        for first, count in zip(tombstone.slots[::2], tombstone.slots[1::2], strict=True)
    ]


def missing_after(found: Sequence[tuple[Tombstone, bytes]], manifests: Iterable[Manifest]) -> str:
    """Say what is missing of a line's list of tombstones, by what the backups know of it; empty: nothing."""
    digests = {tombstone.number: digest for tombstone, digest in found}
    for manifest in manifests:
        if manifest.tombstone and digests.get(manifest.tombstone) != manifest.tombstone_digest:
            return (
                f"backup {manifest.id} knows tombstone {manifest.tombstone}, which is not there any more, "
                "or another one"
            )
    return ""
