"""`postkeep access`: a mailbox owner's own ledger, in plain words. The owner signs in, not the operator."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from postkeep.base.errors import InvalidInputError, NotFoundError, RefusedError
from postkeep.model.audit import AuditEvent, EventName, PersonalValues
from postkeep.node.cli import asking
from postkeep.node.cli.access_words import request_of, who, why, words
from postkeep.node.cli.output import CommandError, instant, moment
from postkeep.node.cli.owner_session import owner_session
from postkeep.node.cli.scene import scene_of
from postkeep.node.cli.texts import text

if TYPE_CHECKING:
    from postkeep.services.authority.api import SignedIn
    from postkeep.services.kms.client import KmsClient
    from postkeep.services.ledger.client import LedgerClient

LIMIT_MAX: Final = 1_000_000
PAGE: Final = 256
_COLUMNS: Final = ("index", "time", "access_who", "access_what", "access_from", "access_why")


@dataclass(frozen=True, slots=True)
class Seen:
    """An entry about the owner, with what was sealed in it."""

    index: int
    event: AuditEvent
    values: PersonalValues


def add(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("access", help=text("help.access"))
    def access(
        context: typer.Context,
        address: str,
        since: Annotated[str, typer.Option("--since", help=text("help.access.since"))] = "",
        until: Annotated[str, typer.Option("--until", help=text("help.access.until"))] = "",
        limit: Annotated[
            int, typer.Option("--limit", min=1, max=LIMIT_MAX, help=text("help.access.limit"))
        ] = 100,
        *,
        password_stdin: Annotated[
            bool, typer.Option("--password-stdin", help=text("help.password_stdin"))
        ] = False,
    ) -> None:
        scene = scene_of(context)
        times = instant(since), instant(until)

        def ask() -> str:
            return asking.own_password(from_stdin=password_stdin)

        try:
            seen = asyncio.run(_look(scene.data, address, ask, times, limit))
        except (RefusedError, InvalidInputError) as exc:
            raise CommandError(text("error.access_refused"), code="refused") from exc
        seen = _with_origins(seen)
        cells = _cells(seen)
        scene.out.rows([_value(one, row) for one, row in zip(seen, cells, strict=True)], _COLUMNS, cells)


def _cells(seen: list[Seen]) -> list[tuple[str, ...]]:
    """Put entries into words; what was done with a grant names the request that the grant stands on."""
    grants = {
        one.event.ticket: request_of(one.event) for one in seen if one.event.event is EventName.REQUEST_GRANT
    }
    reasons = {request_of(one.event): one.values.reason for one in seen if one.values.reason}
    cells: list[tuple[str, ...]] = []
    for one in seen:
        event, values = one.event, one.values
        request = request_of(event) or grants.get(event.ticket, "")
        origin = " ".join(filter(None, (values.address, values.program))) or "-"
        grounds = why(event, request, reasons.get(request, ""))
        cells.append((str(one.index), moment(event.time_ms), who(event), words(event), origin, grounds))
    return cells


def _value(seen: Seen, cells: tuple[str, ...]) -> dict[str, object]:
    event = {name: value for name, value in msgspec.structs.asdict(seen.event).items() if name != "sealed"}
    return {
        "index": seen.index,
        "what": cells[3],
        "who": cells[2],
        "why": cells[5],
        "address": seen.values.address,
        "program": seen.values.program,
        "reason": seen.values.reason,
        "entry": event,
    }


def _with_origins(seen: Iterable[Seen]) -> list[Seen]:
    """Show with every act of a session where the session came from, as its sign-in tells."""
    entries = list(seen)
    origins = {
        one.event.session: one.values
        for one in entries
        if one.event.session and one.event.event == "sign_in" and one.event.outcome == "ok"
    }
    unknown = PersonalValues()
    return [
        one if one.values != unknown else replace(one, values=origins.get(one.event.session, unknown))
        for one in entries
    ]


async def _look(
    data: Path, address: str, ask: Callable[[], str], times: tuple[int, int], limit: int
) -> list[Seen]:
    """Sign in as the owner, read the entries, and sign out."""
    from postkeep.services.kms.client import KmsClient
    from postkeep.services.ledger.client import LedgerClient

    async with owner_session(data, address, ask) as session:
        me = session.me
        found = await _read(LedgerClient(session.link("ledger")), me.ticket, times, limit)
        return await _open(KmsClient(session.link("kms")), me, found)


async def _read(
    ledger: "LedgerClient", ticket: bytes, times: tuple[int, int], limit: int
) -> list[tuple[int, AuditEvent]]:
    from postkeep.services.ledger.api import Own

    found: list[tuple[int, AuditEvent]] = []
    before = -1
    while len(found) < limit:
        request = Own(min(PAGE, limit - len(found)), before, *times)
        page = await ledger.own(request, ticket=ticket)
        found += [(item.index, msgspec.json.decode(item.entry, type=AuditEvent)) for item in page.entries]
        if page.next < 0:
            break
        before = page.next
    return found


async def _open(kms: "KmsClient", me: "SignedIn", found: list[tuple[int, AuditEvent]]) -> list[Seen]:
    """Open what is sealed in the entries, with the owner's own key."""
    from postkeep.base.errors import IntegrityError
    from postkeep.crypto.personal import PersonalSeal
    from postkeep.services.kms.api import PersonKey

    seal = None
    if any(event.sealed for _, event in found):
        try:
            key = (await kms.person_key(PersonKey(me.tenant, me.principal), ticket=me.ticket)).key
            seal = PersonalSeal(key, me.tenant, me.principal)
        except NotFoundError:
            seal = None
    seen = []
    for index, event in found:
        values = PersonalValues()
        if seal is not None and event.sealed:
            try:
                opened = seal.open(event.sealed, event.source, event.number)
                values = msgspec.json.decode(opened, type=PersonalValues)
            except (IntegrityError, msgspec.MsgspecError):
                values = PersonalValues(address=text("access.unreadable"))
        seen.append(Seen(index, event, values))
    return seen
