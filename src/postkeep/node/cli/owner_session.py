"""A mailbox owner at the command line: signed in with the own password, for as long as one command takes."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from postkeep.base.errors import InvalidInputError, RefusedError, ThrottledError
from postkeep.node.cli.output import CommandError, Exit
from postkeep.node.cli.texts import text
from postkeep.node.running import running

if TYPE_CHECKING:
    from postkeep.services.authority.api import SignedIn
    from postkeep.tickets.channel import Link


class OwnerSession(NamedTuple):
    """Who is signed in, and the way to the keepers."""

    me: "SignedIn"
    link: "Callable[[str], Link]"
    """Opens a link to a keeper; it is closed with the session."""


@asynccontextmanager
async def owner_session(data: Path, address: str, ask: Callable[[], str]) -> AsyncIterator[OwnerSession]:
    """Sign in as a mailbox's owner with the password that `ask` returns, and out again at the end.

    CommandError where no node runs, or it does not let the person in.
    """
    from postkeep.node.supervisor import believed
    from postkeep.services.authority.api import OwnerSignIn, SignOut
    from postkeep.services.authority.client import AuthorityClient
    from postkeep.tickets.channel import Link
    from postkeep.tickets.identity import ModuleIdentity

    state = running(data)
    if state is None:
        raise CommandError(text("error.not_running", data=data), Exit.NOT_RUNNING, "not_running")
    anchors = believed.read(data)
    identity = ModuleIdentity("owner", f"owner.{os.getpid()}")
    async with AsyncExitStack() as stack:

        def link(keeper: str) -> Link:
            made = Link(identity, anchors, keeper, Path(state.run) / f"{keeper}.sock")
            stack.push_async_callback(made.close)
            return made

        try:
            admitted = await AuthorityClient(link("authority")).owner_sign_in(OwnerSignIn(address, ask()))
        except ThrottledError as exc:
            raise CommandError(text("error.access_throttled"), Exit.UNAVAILABLE, "throttled") from exc
        except (RefusedError, InvalidInputError) as exc:
            raise CommandError(text("error.access_refused"), code="refused") from exc
        identity.ticket, me = admitted.module_ticket, admitted.signed_in
        try:
            yield OwnerSession(me, link)
        finally:
            await AuthorityClient(link("authority")).sign_out(SignOut(me.session))
