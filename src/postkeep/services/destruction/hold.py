"""Legal holds: what must not be destroyed, by whom it was placed, and how its refusals name it.

The steward keeps the register; vault and kms keep a copy of what they enforce themselves, so that no way of
destroying anything leads around a hold.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from postkeep.base.errors import RefusedError
from postkeep.model.warrant import Unit
from postkeep.services.destruction.order import Order

HELD_CODE: Final = "refused.held"
REASON_CHARS_MAX: Final = 1000  # characters: a case number and a sentence


class Kind(StrEnum):
    """The class of a hold's reason: all that a refusal says of it."""

    LITIGATION = "litigation"
    INVESTIGATION = "investigation"
    REGULATORY = "regulatory"
    OTHER = "other"


class HoldState(StrEnum):
    """How far a hold has come: a crash between the keepers is finished by the next command or start."""

    PLACING = "placing"
    ACTIVE = "active"
    RELEASING = "releasing"
    RELEASED = "released"


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """One hold. `principal` empty: the whole tenant; `mailbox` empty: all of the principal's."""

    id: bytes
    tenant: bytes
    principal: bytes = b""
    mailbox: bytes = b""
    kind: Kind = Kind.OTHER
    reason: str = ""
    """What the one who placed it wrote; not part of any refusal."""
    placed_by: str = ""
    made_ms: int = 0
    until_ms: int | None = None
    released_by: str = ""
    released_ms: int = 0
    state: HoldState = HoldState.PLACING

    def standing(self, now_ms: int) -> bool:
        """Whether it protects anything now. One that is being placed does: better too early."""
        return self.state is not HoldState.RELEASED and (self.until_ms is None or self.until_ms > now_ms)


def covers(hold: Hold, order: Order) -> bool:
    """Say whether an order would destroy anything that a hold covers."""
    if order.unit is Unit.BACKUP:
        return True  # a backup holds everything there was
    if hold.tenant != order.tenant:
        return False
    if order.unit in {Unit.TENANT, Unit.CATEGORY} or not hold.principal:
        return True
    if hold.principal != order.principal:
        return False
    return order.unit is Unit.PERSON or not hold.mailbox or hold.mailbox == order.mailbox


def standing_on(order: Order, holds: Iterable[Hold], now_ms: int) -> list[Hold]:
    """Return the holds that keep an order back now."""
    return [hold for hold in holds if hold.standing(now_ms) and covers(hold, order)]


def held_error(holds: Sequence[tuple[bytes, str]]) -> RefusedError:
    """Return the refusal that names holds, given as (identifier, class of reason)."""
    names = ", ".join(f"{hold.hex()} ({kind})" for hold, kind in holds)
    return RefusedError(
        code=HELD_CODE,
        public_text=f"It is under legal hold and can't be destroyed before the release of: {names}",
    )
