"""`postkeep mailbox`: with whom an owner's mailboxes are shared. The owner signs in, not the operator: nobody
on the staff can share anybody's mail."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import typer

from postkeep.base.ids import parse_id
from postkeep.node.cli import asking
from postkeep.node.cli.output import CommandError, Exit, end_of_day, last_day
from postkeep.node.cli.owner_session import OwnerSession, owner_session
from postkeep.node.cli.scene import group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.steward.api import Done

if TYPE_CHECKING:
    from postkeep.services.vault.client import VaultClient

READ_ONLY = "lrs"
_COLUMNS = ("mailbox", "person", "rights", "until")
_USUAL = ("inbox", "sent", "drafts", "trash", "junk", "archive")
_Of = Annotated[str, typer.Option("--of", help=text("help.mailbox.of"))]
_Mailbox = Annotated[str, typer.Option("--mailbox", help=text("help.mailbox.mailbox"))]
_Stdin = Annotated[bool, typer.Option("--password-stdin", help=text("help.password_stdin"))]


class Given(msgspec.Struct, frozen=True):
    """Rights that somebody has, as they are shown."""

    mailbox: str
    """A usual name, an identifier, or empty: all."""
    person: str
    rights: str
    until_ms: int | None


class Wanted(NamedTuple):
    """Whose mailboxes a command is about, and with whom they are shared."""

    data: Path
    address: str
    owner: str
    """A group's address; empty: the person's own."""
    password_stdin: bool


def add(app: typer.Typer) -> None:
    """Add the commands."""
    mailbox_group = group(app, "mailbox", "help.mailbox")

    @mailbox_group.command("share", help=text("help.mailbox.share"))
    def share(
        context: typer.Context,
        address: str,
        person: str,
        *,
        mailbox: _Mailbox = "",
        rights: Annotated[str, typer.Option("--rights", help=text("help.mailbox.rights"))] = READ_ONLY,
        until: Annotated[str, typer.Option("--until", help=text("help.mailbox.until"))] = "",
        of: _Of = "",
        password_stdin: _Stdin = False,
    ) -> None:
        scene = scene_of(context)
        wanted = Wanted(scene.data, address, of, password_stdin)
        end_ms = end_of_day(until)
        asyncio.run(_give(wanted, person, mailbox, rights, end_ms))
        said = text("mailbox.shared", person=person, rights=rights, until=last_day(end_ms))
        scene.out.say(Done(), said)

    @mailbox_group.command("unshare", help=text("help.mailbox.unshare"))
    def unshare(
        context: typer.Context,
        address: str,
        person: str,
        *,
        mailbox: _Mailbox = "",
        of: _Of = "",
        password_stdin: _Stdin = False,
    ) -> None:
        scene = scene_of(context)
        asyncio.run(_take(Wanted(scene.data, address, of, password_stdin), person, mailbox))
        scene.out.say(Done(), text("mailbox.unshared", person=person))

    @mailbox_group.command("shares", help=text("help.mailbox.shares"))
    def shares(context: typer.Context, address: str, of: _Of = "", *, password_stdin: _Stdin = False) -> None:
        scene = scene_of(context)
        found = asyncio.run(_list(Wanted(scene.data, address, of, password_stdin)))
        cells = [
            (one.mailbox or text("mailbox.all"), one.person, one.rights, last_day(one.until_ms))
            for one in found
        ]
        scene.out.rows(found, _COLUMNS, cells)


class Office:
    """What the commands do with a session: find people and mailboxes, give and take rights."""

    def __init__(self, session: OwnerSession, vault: "VaultClient") -> None:
        self.session = session
        self.vault = vault
        self.owner = session.me.principal

    async def choose(self, group_address: str) -> None:
        """Act on a group's mailboxes from now on."""
        if group_address:
            self.owner = (await self.people([group_address]))[group_address]

    async def people(self, addresses: Sequence[str]) -> dict[str, bytes]:
        """Return who has these addresses; CommandError for one that nobody in the company has."""
        from postkeep.services.authority.client import AuthorityClient
        from postkeep.services.authority.colleagues_api import FindColleagues

        authority = AuthorityClient(self.session.link("authority"))
        request = FindColleagues(self.session.me.session, addresses=list(addresses))
        asked = (await authority.colleagues(request)).asked
        for address in addresses:
            if address not in asked:
                raise CommandError(text("error.no_colleague", address=address), code="not_found")
        return asked

    async def addresses(self, principals: Sequence[bytes]) -> dict[bytes, str]:
        """Return people's addresses."""
        from postkeep.services.authority.client import AuthorityClient
        from postkeep.services.authority.colleagues_api import FindColleagues

        authority = AuthorityClient(self.session.link("authority"))
        request = FindColleagues(self.session.me.session, principals=list(principals))
        return {one.principal: one.address for one in (await authority.colleagues(request)).found}

    async def roles(self) -> dict[bytes, str]:
        """Return the owner's mailboxes with their usual names; empty: it has a name that is sealed."""
        from postkeep.services.vault.api import ListMailboxes
        from postkeep.services.vault.rights_api import ListShared

        me, ticket = self.session.me.principal, self.session.me.ticket
        if self.owner == me:
            rows = (await self.vault.mailboxes(ListMailboxes(me), ticket=ticket)).mailboxes
        else:
            found = (await self.vault.shared(ListShared(me), ticket=ticket)).mailboxes
            rows = [box.row for box in found if box.owner == self.owner]
        return {row.id: row.role if row.name is None else "" for row in rows}

    async def mailbox(self, given: str) -> bytes:
        """Find a mailbox by its usual name or its identifier; empty: all."""
        if not given:
            return b""
        roles = await self.roles()
        by_name = {role: mailbox for mailbox, role in roles.items() if role}
        if given.lower() in by_name:
            return by_name[given.lower()]
        try:
            identifier = parse_id(given)
        except ValueError:
            identifier = b""
        if identifier not in roles:
            names = ", ".join(role for role in _USUAL if role in by_name)
            raise CommandError(text("error.no_mailbox", mailbox=given, names=names), Exit.USAGE, "mailbox")
        return identifier

    async def give(self, mailbox: bytes, reader: bytes, rights: str, until_ms: int | None = None) -> None:
        """Replace a person's rights, at both keepers."""
        from postkeep.services.kms.client import KmsClient
        from postkeep.services.vault.giving import give
        from postkeep.services.vault.rights_api import SetRights

        request = SetRights(self.owner, mailbox, reader, rights, until_ms)
        await give(self.vault, KmsClient(self.session.link("kms")), request, self.session.me.ticket)


async def _open(session: OwnerSession, wanted: Wanted) -> Office:
    from postkeep.services.vault.client import VaultClient

    office = Office(session, VaultClient(session.link("vault")))
    await office.choose(wanted.owner)
    return office


async def _give(wanted: Wanted, person: str, mailbox: str, rights: str, until_ms: int | None) -> None:
    async with _session(wanted) as session:
        office = await _open(session, wanted)
        reader = (await office.people([person]))[person]
        await office.give(await office.mailbox(mailbox), reader, rights, until_ms)


async def _take(wanted: Wanted, person: str, mailbox: str) -> None:
    from postkeep.services.vault.rights_api import GetRights

    async with _session(wanted) as session:
        office = await _open(session, wanted)
        reader = (await office.people([person]))[person]
        chosen = [await office.mailbox(mailbox)]
        if not mailbox:  # what holds for all first, then what single mailboxes have of their own
            found = await office.vault.rights(GetRights(office.owner), ticket=session.me.ticket)
            chosen += sorted(one.mailbox for one in found.rights if one.reader == reader and one.mailbox)
        for box in chosen:
            await office.give(box, reader, "")


async def _list(wanted: Wanted) -> list[Given]:
    from postkeep.services.vault.rights_api import GetRights

    async with _session(wanted) as session:
        office = await _open(session, wanted)
        found = (await office.vault.rights(GetRights(office.owner), ticket=session.me.ticket)).rights
        people = await office.addresses(sorted({one.reader for one in found}))
        roles = await office.roles()
    return [
        Given(
            (roles.get(one.mailbox) or one.mailbox.hex()) if one.mailbox else "",
            people.get(one.reader, one.reader.hex()),
            one.letters,
            one.until_ms,
        )
        for one in found
        if one.letters
    ]


def _session(wanted: Wanted) -> AbstractAsyncContextManager[OwnerSession]:
    return owner_session(
        wanted.data, wanted.address, lambda: asking.own_password(from_stdin=wanted.password_stdin)
    )
