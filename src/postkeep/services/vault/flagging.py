"""`vault.store_flags`: decided once for each set of flags that occurs, not for each message."""

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from postkeep.base.errors import LimitError, NotFoundError
from postkeep.services.vault import api
from postkeep.services.vault.changing import write_event
from postkeep.services.vault.columns import rows_of, taken
from postkeep.services.vault.flags import DELETED, SEEN, Flags, change_flags, flag_names, parse_flags
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.rows_api import ROWS_MAX, Rows
from postkeep.services.vault.uids import merge_ranges
from postkeep.services.vault.watching import Watching
from postkeep.stores.postgres import Connection, in_transaction
from postkeep.stores.vault_borders import little_endian, native
from postkeep.stores.vault_changes import (
    FlagChanges,
    MailboxDelta,
    lock_mailboxes,
    store_flags,
)
from postkeep.stores.vault_rows import read_columns
from postkeep.tickets.clear import Grant


class FlagPlan(NamedTuple):
    """What a change does to rows: how they are afterwards, and what is to be written."""

    rows: Rows
    changes: FlagChanges
    unseen: int
    deleted: int
    """By how much the mailbox's counts grow."""


class Flagging:
    """Changes flags in one transaction, under the lock of the mailbox."""

    def __init__(self, stores: Stores, watching: Watching) -> None:
        self._stores = stores
        self._watching = watching

    async def store_flags(self, grant: Grant, request: api.StoreFlags) -> api.Stored:
        """Answer `vault.store_flags`; LimitError where it names more messages than one answer holds."""
        change = parse_flags(request.flags)
        ranges = merge_ranges(request.uids)
        tenant, principal, mailbox = grant.tenant, request.principal, request.mailbox

        async def work(connection: Connection) -> tuple[api.Stored, bool]:
            boxes = await lock_mailboxes(connection, tenant, principal, [mailbox])
            found = await read_columns(connection, tenant, principal, mailbox, ranges, ROWS_MAX + 1)
            if mailbox not in boxes or found is None:
                raise NotFoundError("no such mailbox")
            rows = rows_of(found)
            if len(rows) > ROWS_MAX:
                raise LimitError(f"more than {ROWS_MAX} messages at once")
            rows, modified = _unchanged(rows, request.unchanged_since)
            modseq = boxes[mailbox]["highest_modseq"]
            plan = plan_flags(rows, request.mode, change, modseq + 1)
            if not plan.changes.uids:
                return api.Stored(rows, modified, modseq), False
            modseq += 1
            delta = MailboxDelta(modseq, unseen=plan.unseen, deleted=plan.deleted)
            keywords = change.keywords if request.mode != "remove" else ()
            event = write_event(grant, principal, mailbox, rows.bodies)
            await store_flags(connection, tenant, mailbox, plan.changes, delta, keywords or None, event)
            return api.Stored(plan.rows, modified, modseq), True

        stored, changed = await in_transaction(self._stores.pool, work)
        if changed:
            self._watching.changed([(tenant, principal, mailbox, stored.highest_modseq)])
        return stored


def plan_flags(rows: Rows, mode: str, change: Flags, modseq: int) -> FlagPlan:
    """Decide which messages get which flags, and what that does to the counts."""
    before = [parse_flags(names) for names in rows.flag_sets]
    after = [change_flags(now, mode, change) for now in before]
    moved = [then != now for now, then in zip(before, after, strict=True)]
    numbers = native(rows.flags, "H")
    uids, modseqs = native(rows.uids, "I"), native(rows.modseqs, "Q")
    picked = [place for place, number in enumerate(numbers) if moved[number]]
    for place in picked:
        modseqs[place] = modseq
    sets: dict[tuple[str, ...], int] = {}
    renumbered = [sets.setdefault(flag_names(*flags), len(sets)) for flags in after]
    counts = Counter(numbers[place] for place in picked)
    words = [" ".join(flags.keywords) or None for flags in after]
    return FlagPlan(
        Rows(
            rows.uids,
            little_endian(modseqs),
            little_endian(array("H", [renumbered[number] for number in numbers])),
            list(sets),
            rows.dates,
            rows.sizes,
            rows.saved,
            rows.bodies,
        ),
        FlagChanges(
            [uids[place] for place in picked],
            [after[numbers[place]].bits for place in picked],
            [words[numbers[place]] for place in picked],
        ),
        sum(((before[n].bits & SEEN) - (after[n].bits & SEEN)) * count for n, count in counts.items()),
        sum(
            (bool(after[n].bits & DELETED) - bool(before[n].bits & DELETED)) * count
            for n, count in counts.items()
        ),
    )


def _unchanged(rows: Rows, since: int | None) -> tuple[Rows, list[int]]:
    """Leave out what has changed since a modseq; return the rest, and the UIDs left out."""
    if since is None:
        return rows, []
    modseqs = native(rows.modseqs, "Q")
    refused = [place for place, modseq in enumerate(modseqs) if modseq > since]
    if not refused:
        return rows, []
    uids = native(rows.uids, "I")
    kept: Sequence[int] = [place for place, modseq in enumerate(modseqs) if modseq <= since]
    return taken(rows, kept), [uids[place] for place in refused]
