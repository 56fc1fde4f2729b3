"""Annotations as they are in the clear: sealed blobs of the vault opened, changed and sealed again.

All entries of a mailbox in one scope are one blob, and so are those of the account itself (mailbox NOBODY),
which also holds the names that are subscribed to without being mailboxes. Nothing is kept between commands
but which names those are.
"""

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from postkeep.base.errors import ConflictError, IntegrityError
from postkeep.base.ids import NOBODY
from postkeep.crypto.message import open_entries, seal_entries
from postkeep.faces.imap.keyring import Keyring
from postkeep.faces.imap.limits import CONFLICT_RETRIES, CONFLICT_WAIT_SECONDS
from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.texts import Text
from postkeep.services.vault.entries_api import EntriesBlob, FetchEntries, Scope, SetEntries

if TYPE_CHECKING:
    from postkeep.faces.imap.account import Account

CONTENTS_BYTES_MAX: Final = 256 * 1024
"""Of one blob in the clear: what one change has to seal again."""
SUBSCRIPTIONS_MAX: Final = 10_000
"""Names subscribed to without a mailbox, as many as there can be mailboxes."""


class Contents(msgspec.Struct, frozen=True):
    """What a blob holds. `values` by lower-case entry name; `form` is the version of this layout."""

    values: dict[str, bytes] = {}
    subscriptions: list[str] = []
    form: Literal[1] = 1


class Opened(msgspec.Struct, frozen=True):
    """A blob in the clear."""

    mailbox: bytes
    scope: Scope
    version: int
    contents: Contents


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Contents)


async def read_entries(account: "Account", mailbox: bytes | None, owner: bytes = b"") -> list[Opened]:
    """Return the annotations of a mailbox (NOBODY: of the account; None: of everything): the account's own,
    and (`owner`: whose mailbox it is, empty: one's own) those that its owner shares.

    Raises IntegrityError for a blob that does not open.
    """
    found, _ = await _read(account, FetchEntries(account.principal, mailbox=mailbox), account.keyring)
    if owner:
        shared, _ = await _read(account, FetchEntries(owner, mailbox=mailbox), account.shared.keyring(owner))
        found += shared
    return found


async def read_entries_since(account: "Account", version: int) -> tuple[list[Opened], int]:
    """Return all the account's annotations that were changed after a version, and the version now."""
    return await _read(account, FetchEntries(account.principal, version), account.keyring)


async def _read(account: "Account", request: FetchEntries, keyring: Keyring) -> tuple[list[Opened], int]:
    listed = await account.keepers.vault.entries(request, ticket=account.ticket)
    await keyring.need((blob.epoch for blob in listed.blobs), account.ticket)
    opened = [_open(account, request.principal, blob, keyring) for blob in listed.blobs]
    return opened, listed.version


async def read_lone(account: "Account") -> frozenset[str]:
    """Return the names that are subscribed to without being mailboxes, as far as the blob tells."""
    found = await read_entries(account, NOBODY)
    return frozenset(name for opened in found for name in opened.contents.subscriptions)


async def change_entries(
    account: "Account",
    mailbox: bytes,
    scope: Scope,
    change: Callable[[Contents], Contents],
    owner: bytes = b"",
) -> None:
    """Change a blob, again while others get in between; `owner` as for `read_entries`. Raises CommandError
    where the result is too large."""
    for number in range(CONFLICT_RETRIES):
        held = [opened for opened in await read_entries(account, mailbox, owner) if opened.scope is scope]
        contents = held[0].contents if held else Contents()
        changed = change(contents)
        if changed == contents:
            return
        try:
            await _store(account, (mailbox, scope, owner), held[0].version if held else 0, changed)
        except ConflictError:
            await asyncio.sleep(random.uniform(0, CONFLICT_WAIT_SECONDS * (number + 1)))  # noqa: S311 - no secret
        else:
            return
    raise CommandError(Text.MAILBOXES_BUSY, "INUSE")


async def subscribe_lone(account: "Account", *, add: frozenset[str] | set[str], remove: set[str]) -> None:
    """Put names on the list of those subscribed to without a mailbox, and take names from it."""

    def change(contents: Contents) -> Contents:
        names = (set(contents.subscriptions) | add) - remove
        if len(names) > SUBSCRIPTIONS_MAX:
            raise CommandError(Text.TOO_MANY_SUBSCRIPTIONS, "LIMIT")
        return msgspec.structs.replace(contents, subscriptions=sorted(names))

    await change_entries(account, NOBODY, Scope.PRIVATE, change)


async def _store(
    account: "Account", place: tuple[bytes, Scope, bytes], version: int, contents: Contents
) -> None:
    mailbox, scope, owner = place
    data = _encoder.encode(contents)
    if len(data) > CONTENTS_BYTES_MAX:
        raise CommandError(Text.ENTRIES_TOO_LARGE, "METADATA TOOMANY")
    by_owner = owner if scope is Scope.SHARED else b""  # whose key it is sealed to; empty: one's own
    epoch, step = account.take(by_owner)
    principal, writer = by_owner or account.principal, epoch.writer
    sealed = seal_entries(step, account.tenant, principal, mailbox, scope, writer.epoch, data)
    request = SetEntries(
        principal,
        mailbox,
        scope,
        version,
        writer.epoch,
        step.index,
        sealed,
        [] if epoch.acknowledged else [epoch.announcement],
        b"" if by_owner else owner,
    )
    await account.keepers.vault.set_entries(request, ticket=account.ticket)
    epoch.acknowledged = True


def _open(account: "Account", principal: bytes, blob: EntriesBlob, keyring: Keyring) -> Opened:
    wrap_key = keyring.wrap_key("metadata", blob.epoch, blob.index)
    data = open_entries(
        wrap_key,
        account.tenant,
        principal,
        blob.mailbox,
        blob.scope,
        blob.epoch,
        blob.index,
        blob.sealed,
    )
    try:
        contents = _decoder.decode(data)
    except msgspec.MsgspecError as exc:
        raise IntegrityError("entries of an unknown form") from exc
    return Opened(blob.mailbox, blob.scope, blob.version, contents)
