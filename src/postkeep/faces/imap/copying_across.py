"""COPY and MOVE to a mailbox of somebody else, or from there: the keys are opened here and wrapped anew.

The sealed bodies stay where they are. A move copies first and removes what was copied then, so that nothing
is lost in between; it takes the rights to flag messages as deleted and to expunge them.
"""

from typing import Final

from postkeep.crypto.message import MessageKeys, wrap_keys
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.names import Named
from postkeep.faces.imap.place import Place
from postkeep.protocols.imap.sequence import Ranges, spans_of
from postkeep.services.delivery.epochs import OpenEpoch
from postkeep.services.vault.api import Copied, Expunge, FetchSummaries, StoreFlags
from postkeep.services.vault.rights_api import CopyAcross, Rewrapped

BATCH: Final = 500
"""Messages in one call: their summaries come along, some 2 KB each."""


async def copy_across(account: Account, place: Place, target: Named, uids: Ranges, *, move: bool) -> Copied:
    """Copy messages to a mailbox of another owner; those that are gone are left out. Raises NotFoundError."""
    pairs: list[tuple[int, int]] = []
    copied = Copied(target.row.uid_validity, [], 0)
    for batch in _batches(uids):
        messages, epochs = await _rewrap(account, place, target.owner, batch)
        if not messages:
            continue
        unknown = {epoch.writer.epoch: epoch for epoch in epochs if not epoch.acknowledged}
        request = CopyAcross(
            place.principal,
            place.mailbox,
            target.owner or account.principal,
            target.row.id,
            messages,
            [epoch.announcement for epoch in unknown.values()],
        )
        copied = await account.keepers.vault.copy_across(request, ticket=account.ticket)
        for epoch in unknown.values():
            epoch.acknowledged = True
        pairs += copied.pairs
        if move and copied.pairs:
            await _remove(account, place, spans_of(uid for uid, _ in copied.pairs))
    return Copied(copied.uid_validity, pairs, copied.highest_modseq)


async def _rewrap(
    account: Account, place: Place, owner: bytes, uids: Ranges
) -> tuple[list[Rewrapped], list[OpenEpoch]]:
    """Open both keys of messages, and wrap them for a mailbox's owner (empty: oneself)."""
    request = FetchSummaries(place.principal, place.mailbox, uids)
    found = (await account.keepers.vault.summaries(request, ticket=account.ticket)).summaries
    await place.keyring.need({item.epoch for item in found}, account.ticket)
    messages: list[Rewrapped] = []
    epochs: list[OpenEpoch] = []
    for item in found:
        keys = MessageKeys(
            place.keyring.message_key("content", item), place.keyring.message_key("metadata", item)
        )
        epoch, step = account.take(owner)
        writer = epoch.writer
        wraps = wrap_keys(keys, step, account.tenant, item.body, writer.principal, writer.epoch)
        messages.append(Rewrapped(item.uid, item.body, writer.epoch, step.index, wraps))
        epochs.append(epoch)
    return messages, epochs


async def _remove(account: Account, place: Place, uids: Ranges) -> None:
    vault, ticket = account.keepers.vault, account.ticket
    flagged = StoreFlags(place.principal, place.mailbox, uids, "add", ("\\Deleted",))
    await vault.store_flags(flagged, ticket=ticket)
    await vault.expunge(Expunge(place.principal, place.mailbox, uids), ticket=ticket)


def _batches(uids: Ranges) -> list[Ranges]:
    """Cut ranges of UIDs that are there into those of one call."""
    batches: list[Ranges] = [[]]
    room = BATCH
    for low, high in uids:
        while low <= high:
            if not room:
                batches.append([])
                room = BATCH
            last = min(high, low + room - 1)
            batches[-1].append((low, last))
            room -= last - low + 1
            low = last + 1  # noqa: PLW2901 - the rest of the range
    return batches
