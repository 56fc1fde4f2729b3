"""The operator's way into a running node: known by the user id on the socket, then tickets like everybody."""

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from postkeep.base.errors import RefusedError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.base.secret import Secret
from postkeep.node.cli.output import CommandError, Exit
from postkeep.node.cli.texts import text
from postkeep.node.running import running

if TYPE_CHECKING:
    from postkeep.services.authority.api import ModuleTicket
    from postkeep.tickets.channel import Link
    from postkeep.tickets.identity import ModuleIdentity

T = TypeVar("T")
CALL_SECONDS_MAX = 60.0
"""As long as the ticket that the steward works with lives."""
RETRY_SECONDS = 5.0
"""How long a command goes on trying: a module that restarts is back in one or two."""
PAUSE_SECONDS = 0.2
"""Between tries."""


class StaffLogin(NamedTuple):
    """Who acts, where that is a staff member and not the machine's own operator."""

    name: str
    password: Secret[str]


def call(
    data: Path, method: str, request: msgspec.Struct, reply: type[T], login: StaffLogin | None = None
) -> T:
    """Ask the steward or the authority of the node in `data`, by the method's first word; raises what it
    answers, and CommandError where none runs.

    What is not available for a moment is asked for again, under the same token, so that it is done once.
    """
    state = running(data)
    if state is None:
        raise CommandError(text("error.not_running", data=data), Exit.NOT_RUNNING, "not_running")
    for_steward = method.startswith("steward.")
    if for_steward:
        request = msgspec.structs.replace(request, token=new_id())
    end = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return asyncio.run(_call(data, Path(state.run), method, request, reply, login))
        except UnavailableError:
            if time.monotonic() >= end:
                raise
        except RefusedError as error:
            if error.code.startswith("refused.operator"):
                raise CommandError(text("error.not_owner", data=data)) from error
            if login is not None and error.code.startswith("refused.credentials"):
                raise CommandError(text("error.staff_password"), code="staff_password") from error
            raise
        if for_steward:
            request = msgspec.structs.replace(request, again=True)
        time.sleep(PAUSE_SECONDS)


async def _call(  # noqa: PLR0917 - one call: where, what, and for whom
    data: Path, run: Path, method: str, request: msgspec.Struct, reply: type[T], login: StaffLogin | None
) -> T:
    from postkeep.node.supervisor import believed
    from postkeep.tickets.channel import Link
    from postkeep.tickets.identity import ModuleIdentity

    anchors = believed.read(data)
    identity = ModuleIdentity("cli", f"cli.{os.getpid()}")
    async with contextlib.AsyncExitStack() as stack:

        def link(keeper: str) -> Link:
            made = Link(identity, anchors, keeper, run / f"{keeper}.sock")
            stack.push_async_callback(made.close)
            return made

        admitted = await admit(link("authority"), login)
        identity.ticket = admitted.ticket
        keeper = link(method.partition(".")[0])
        if keeper.keeper == "steward":
            delegation = _delegate(identity, admitted.staff, await keeper.peer_thumbprint())
            request = msgspec.structs.replace(request, delegation=delegation)
        return await keeper.call(
            method, request, reply, ticket=admitted.staff, timeout_seconds=CALL_SECONDS_MAX
        )


async def admit(newcomer: "Link", login: StaffLogin | None) -> "ModuleTicket":
    """Sign in over a link that has shown no ticket yet: as a staff member, or as the machine's operator."""
    from postkeep.services.authority.api import ModuleTicket, OperatorSignIn
    from postkeep.services.authority.governance_api import StaffSignIn

    if login is None:
        return await newcomer.call("authority.operator_sign_in", OperatorSignIn(), ModuleTicket)
    sign_in = StaffSignIn(login.name, login.password.reveal())
    return await newcomer.call("authority.staff_sign_in", sign_in, ModuleTicket)


def _delegate(identity: "ModuleIdentity", ticket: bytes, steward: str) -> bytes:
    """Narrow the ticket to the steward that works with it. To vote is nothing that can be passed on."""
    from postkeep.model.ticket import Action
    from postkeep.tickets import token as tokens
    from postkeep.tickets.narrow import narrow
    from postkeep.tickets.rules import KEEPERS

    actions = tokens.read(ticket)[0].ticket.actions
    return narrow(
        identity,
        ticket,
        holder=steward,
        audience=KEEPERS,
        actions=[action for action in actions if action is not Action.REQUEST_DECIDE],
        module="steward",
    )
