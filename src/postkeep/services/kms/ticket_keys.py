"""The keys that tickets are signed with: kept here, given to the authority alone, two of them live at once.

A key is a generation: a named key `ticket/<number>`, wrapped under the root key like every other. The newest
one signs. The one before it is believed until the last ticket that it signed has expired; it is forgotten
with the rotation after that. A rotation is one new row, so a crash leaves the old keys or the new ones.
"""

from typing import Final

import msgspec

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, RefusedError
from postkeep.model.audit import EventName
from postkeep.services.kms import api
from postkeep.services.kms.signing import NamedKeys, SigningKey
from postkeep.services.ledger.trail import EventFields, Trail
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant
from postkeep.tickets.identity import thumbprint
from postkeep.tickets.mint import TICKET_SECONDS_MAX
from postkeep.tickets.rules import AUTHORITY
from postkeep.tickets.verify import CLOCK_SKEW_SECONDS

PREFIX: Final = "ticket/"
DIGITS: Final = 8
"""Of a generation's number: names sort as numbers do, for more rotations than a node will see."""

HANDOVER_SECONDS: Final = 60
"""How long the authority may go on signing with a key after another has been made: until every module has
heard of the new one."""

BELIEVED_SECONDS: Final = TICKET_SECONDS_MAX + HANDOVER_SECONDS + CLOCK_SKEW_SECONDS
"""How long after its successor was made a key is believed."""


class TicketKeys:
    """Makes the keys, gives them out, and makes their successors."""

    def __init__(self, named: NamedKeys, trail: Trail, clock: Clock) -> None:
        self._named = named
        self._trail = trail
        self._clock = clock

    def handlers(self) -> dict[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the methods."""
        return {
            "kms.ticket_keys": (api.GetTicketKeys, self.ticket_keys),
            "kms.rotate_ticket_key": (api.RotateTicketKey, self.rotate_ticket_key),
        }

    async def ticket_keys(self, grant: Grant, _request: api.GetTicketKeys) -> api.TicketKeys:
        """Give the authority the key that signs, made at the first start, and the one before it.

        Also while other keys are held back (`withholding`): staff must be able to sign in and to approve.
        """
        return await self._give(grant)

    async def rotate_ticket_key(self, grant: Grant, _request: api.RotateTicketKey) -> api.TicketKeys:
        """Make the next key and give it; ConflictError while the one before the present is still needed."""
        await self._check(grant)
        names = await self._named.names(PREFIX)
        if len(names) > 1 and await self._believed_until_ms(names[-1]) > self._clock.now_ms():
            raise ConflictError(
                "two ticket keys are live",
                code="conflict.rotation",
                public_text="The ticket key was rotated a moment ago, and tickets signed with the one before "
                "it are still in force. Try again in a quarter of an hour.",
            )
        await self._make(grant, names[-1] if names else "")
        for name in names[:-1]:
            await self._named.remove(name)
        return await self._give(grant)

    async def _give(self, grant: Grant) -> api.TicketKeys:
        await self._check(grant)
        names = await self._named.names(PREFIX)
        if not names:
            await self._make(grant, "")
            names = await self._named.names(PREFIX)
        found = await self._named.get(names[-1])
        assert found is not None
        seed, public = found
        previous = await self._named.get(names[-2]) if len(names) > 1 else None
        until_ms = await self._believed_until_ms(names[-1])
        if previous is not None and until_ms <= self._clock.now_ms():
            previous = None
        release = _fields(grant, public, count=1)
        await self._trail.record(EventName.KEY_RELEASE, **release)
        return api.TicketKeys(
            seed=seed,
            public_key=public,
            created_ms=await self._named.created_ms(names[-1]),
            previous=previous[1] if previous is not None else b"",
            previous_until_ms=until_ms if previous is not None else 0,
        )

    async def _make(self, grant: Grant, after: str) -> None:
        """Make the generation after another; the ledger knows of it before it can sign."""
        number = int(after.removeprefix(PREFIX)) + 1 if after else 1
        seed, public = SigningKey.draw()
        event = EventName.KEY_ROTATE if after else EventName.KEY_CREATE
        await self._trail.record(event, **_fields(grant, public))
        await self._named.add(f"{PREFIX}{number:0{DIGITS}}", seed, public)

    async def _believed_until_ms(self, successor: str) -> int:
        return await self._named.created_ms(successor) + BELIEVED_SECONDS * 1000

    async def _check(self, grant: Grant) -> None:
        if grant.peer_module != AUTHORITY:
            await self._trail.record(
                EventName.KEY_REFUSE,
                **(_fields(grant, b"") | EventFields(outcome="refused", code="refused.module")),
            )
            raise RefusedError("ticket keys are the authority's", code="refused.module")


def _fields(grant: Grant, public: bytes, count: int = 0) -> EventFields:
    return EventFields(
        module=grant.peer_module,
        instance=grant.peer_instance,
        ticket=grant.ticket_id,
        method=grant.method,
        rule=grant.rule,
        count=count,
        digest=thumbprint(public) if public else "",
        note="ticket",
    )
