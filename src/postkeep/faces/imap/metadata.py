"""GETMETADATA and SETMETADATA: annotations of mailboxes and of the account (RFC 5464).

`/private` is for the person alone, `/shared` for everybody who may read the mailbox. `/private/specialuse` is
the mailbox's special use itself (RFC 6154 section 4).
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from postkeep.base.ids import NOBODY
from postkeep.faces.imap.entries import Contents, change_entries, read_entries
from postkeep.faces.imap.names import ROLE_USES, Named, Tree
from postkeep.faces.imap.replies import CommandError, no_such_mailbox
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.special_use import change_use
from postkeep.faces.imap.texts import Text, completed
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.annotations import Depth, GetMetadata, SetMetadata
from postkeep.services.vault.entries_api import Scope

if TYPE_CHECKING:
    from postkeep.faces.imap.account import Account

VALUE_BYTES_MAX: Final = 32 * 1024
"""Of one value: half of what all literals of a command may hold."""
ENTRIES_MAX: Final = 500
"""Of one mailbox in one scope."""
SPECIAL_USE: Final = "/private/specialuse"

Values = dict[str, bytes]


async def get_metadata(session: Session, tag: bytes, command: GetMetadata) -> Completion:
    """Answer GETMETADATA."""
    del tag
    account = session.need_account()
    named = await _find(account, command.mailbox)
    mailbox = NOBODY if named is None else named.row.id
    values: Values = {} if named is None else _uses(named)
    for opened in await read_entries(account, mailbox, b"" if named is None else named.owner):
        values |= opened.contents.values
    found, longest = choose(values, command)
    if found:
        name = "" if named is None else named.name
        await session.send(responses.metadata(name, found, utf8=session.utf8))
    if longest:
        return Completion(Text.ENTRIES_LONG, f"METADATA LONGENTRIES {longest}")
    return Completion(completed("GETMETADATA"))


def choose(values: Mapping[str, bytes], command: GetMetadata) -> tuple[list[tuple[str, bytes | None]], int]:
    """Return the entries that a command asks for, NIL for one that is asked for by name and is not there, and
    the size of the largest one that was too large (0: none was)."""
    names: dict[str, bytes | None] = {}
    for asked in command.entries:
        if command.depth is Depth.NONE:
            names[asked] = values.get(asked)
            continue
        for name in sorted(values):
            below = name.startswith(asked + "/")
            near = command.depth is Depth.ALL or name.count("/") == asked.count("/") + 1
            if name == asked or (below and near):
                names[name] = values[name]
    limit = command.max_size
    if limit is None:
        return list(names.items()), 0
    sizes = {name: len(value) for name, value in names.items() if value is not None and len(value) > limit}
    return [(name, value) for name, value in names.items() if name not in sizes], max(
        sizes.values(), default=0
    )


async def read_values(
    account: "Account", tree: Tree, entries: Iterable[str]
) -> dict[bytes, list[tuple[str, bytes | None]]]:
    """Return some annotations of every mailbox of one's own, for LIST (RFC 9590 lets the others be left out,
    whose shared ones would take a call each)."""
    wanted = GetMetadata("", tuple(entries))
    own = (named for named in tree.by_name.values() if not named.owner)
    values: dict[bytes, Values] = {named.row.id: _uses(named) for named in own}
    for opened in await read_entries(account, None):
        if opened.mailbox in values:
            values[opened.mailbox] |= opened.contents.values
    return {mailbox: choose(found, wanted)[0] for mailbox, found in values.items()}


async def set_metadata(session: Session, tag: bytes, command: SetMetadata) -> Completion:
    """Answer SETMETADATA: each scope's entries change together."""
    del tag
    account = session.need_account()
    named = await _find(account, command.mailbox)
    wanted = dict(command.values)
    for name, value in wanted.items():
        _check(name, value, of_server=named is None)
    owner = b"" if named is None else named.owner
    if owner and SPECIAL_USE in wanted:
        raise CommandError(Text.ENTRY_FIXED, "NOPERM")
    if named is not None and SPECIAL_USE in wanted:
        await change_use(account, named.row.id, wanted.pop(SPECIAL_USE))
    for scope, prefix in ((Scope.PRIVATE, "/private/"), (Scope.SHARED, "/shared/")):
        part = {name: value for name, value in wanted.items() if name.startswith(prefix)}
        if part:
            mailbox = NOBODY if named is None else named.row.id
            await change_entries(account, mailbox, scope, partial(_with, changes=part), owner)
    return Completion(completed("SETMETADATA"))


def _with(contents: Contents, changes: Mapping[str, bytes | None]) -> Contents:
    values = {name: value for name, value in contents.values.items() if name not in changes}
    values |= {name: value for name, value in changes.items() if value is not None}
    if len(values) > ENTRIES_MAX:
        raise CommandError(Text.ENTRIES_TOO_LARGE, "METADATA TOOMANY")
    return msgspec.structs.replace(contents, values=values)


def _check(name: str, value: bytes | None, *, of_server: bool) -> None:
    if value is not None and len(value) > VALUE_BYTES_MAX:
        raise CommandError(Text.ENTRY_TOO_LARGE, f"METADATA MAXSIZE {VALUE_BYTES_MAX}")
    scope, _, rest = name[1:].partition("/")
    if not rest or (of_server and scope == "shared"):  # shared ones of the server are its administrator's
        raise CommandError(Text.ENTRY_FIXED, "NOPERM")


async def _find(account: "Account", mailbox: str) -> Named | None:
    """Return the mailbox that is meant; None: the server."""
    if not mailbox:
        return None
    named = (await account.tree()).find(mailbox)
    if named is None:
        raise no_such_mailbox()
    return named


def _uses(named: Named) -> Values:
    use = ROLE_USES.get(named.row.role)
    return {} if use is None else {SPECIAL_USE: use.encode("ascii")}
