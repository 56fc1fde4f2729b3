"""The operator's way into a running node: known by the user id on the socket, then tickets like everybody."""

import asyncio
import os
import time
from pathlib import Path
from typing import TypeVar

import msgspec

from postkeep.base.errors import RefusedError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.node.cli.output import CommandError, Exit
from postkeep.node.cli.texts import text
from postkeep.node.running import running

T = TypeVar("T")
CALL_SECONDS_MAX = 60.0
"""As long as the ticket that the steward works with lives."""
RETRY_SECONDS = 5.0
"""How long a command goes on trying: a module that restarts is back in one or two."""
PAUSE_SECONDS = 0.2
"""Between tries."""


def call(data: Path, method: str, request: msgspec.Struct, reply: type[T]) -> T:
    """Ask the steward of the node in `data`; raises what it answers, and CommandError where none runs.

    What is not available for a moment is asked for again, under the same token, so that it is done once.
    """
    state = running(data)
    if state is None:
        raise CommandError(text("error.not_running", data=data), Exit.NOT_RUNNING, "not_running")
    request = msgspec.structs.replace(request, token=new_id())
    end = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return asyncio.run(_call(data, Path(state.run), method, request, reply))
        except UnavailableError:
            if time.monotonic() >= end:
                raise
        except RefusedError as error:
            if error.code.startswith("refused.operator"):
                raise CommandError(text("error.not_owner", data=data)) from error
            raise
        request = msgspec.structs.replace(request, again=True)
        time.sleep(PAUSE_SECONDS)


async def _call(data: Path, run: Path, method: str, request: msgspec.Struct, reply: type[T]) -> T:
    from postkeep.node.supervisor import believed
    from postkeep.services.authority.api import ModuleTicket, OperatorSignIn
    from postkeep.tickets.channel import Link
    from postkeep.tickets.identity import ModuleIdentity
    from postkeep.tickets.narrow import narrow
    from postkeep.tickets.rules import KEEPERS

    anchors = believed.read(data)
    identity = ModuleIdentity("cli", f"cli.{os.getpid()}")
    authority = Link(identity, anchors, "authority", run / "authority.sock")
    steward = Link(identity, anchors, "steward", run / "steward.sock")
    try:
        admitted = await authority.call("authority.operator_sign_in", OperatorSignIn(), ModuleTicket)
        identity.ticket = admitted.ticket
        delegation = narrow(
            identity,
            admitted.staff,
            holder=await steward.peer_thumbprint(),
            audience=KEEPERS,
            module="steward",
        )
        return await steward.call(
            method,
            msgspec.structs.replace(request, delegation=delegation),
            reply,
            ticket=admitted.staff,
            timeout_seconds=CALL_SECONDS_MAX,
        )
    finally:
        await steward.close()
        await authority.close()
