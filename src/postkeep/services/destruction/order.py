"""The order and its steps. Pure: what was found out goes in, the order as it then stands comes out.

```
requested > cleared > approved > deleted > destroyed > purged > unbacked > verified > certified
```

Each name says what is true from then on. `advance` is the only way from one step to the next: never two at
once, and not without what the step claims, so that no order says it was verified before it was.
"""

import itertools
from enum import StrEnum
from typing import Any, Final

import msgspec

from postkeep.base.errors import ConflictError, InvalidInputError
from postkeep.base.ids import ID_BYTES, NOBODY
from postkeep.crypto.fingerprint import Fingerprint
from postkeep.model.warrant import Unit, Warrant
from postkeep.services.destruction.scan import Scan

CANARIES_MAX: Final = 16  # known texts in one order: each costs a pass over every byte


class Step(StrEnum):
    """How far an order has come."""

    REQUESTED = "requested"
    CLEARED = "cleared"
    """No legal hold covers it."""
    APPROVED = "approved"
    """Everyone whose yes it needs has said it."""
    DELETED = "deleted"
    """Nobody finds it any more, and nothing is added to it."""
    DESTROYED = "destroyed"
    """Its keys are overwritten, durably."""
    PURGED = "purged"
    """Rows and sealed bytes are gone from the live stores."""
    UNBACKED = "unbacked"
    """No backup holds a key of it."""
    VERIFIED = "verified"
    """The destroyed keys were looked for in the raw files and not found."""
    CERTIFIED = "certified"
    REFUSED = "refused"
    """It was not approved, or withdrawn: the end, with nothing done."""


STEPS: Final = (
    Step.REQUESTED,
    Step.CLEARED,
    Step.APPROVED,
    Step.DELETED,
    Step.DESTROYED,
    Step.PURGED,
    Step.UNBACKED,
    Step.VERIFIED,
    Step.CERTIFIED,
)
"""In their order."""
ENDS: Final = frozenset({Step.CERTIFIED, Step.REFUSED})
_NEXT: Final = dict(itertools.pairwise(STEPS))


class Marks(msgspec.Struct, frozen=True):
    """What is looked for after the destruction, taken before it."""

    salt: bytes
    prints: list[Fingerprint]
    total: int
    """How many secrets there were; `prints` are all of them, or a sample."""
    keys: int = 0
    """How many of them are keys in kms."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order. Identifiers only; `reason` is what the requester wrote."""

    id: bytes
    unit: Unit
    made_ms: int
    requester: str
    """Who asked: a member of staff's name, or `operator`."""
    tenant: bytes = NOBODY
    principal: bytes = NOBODY
    mailbox: bytes = b""
    uids: list[tuple[int, int]] = []
    """Messages: inclusive ranges of UIDs. A mailbox: those that it had when it was ordered."""
    category: str = ""
    backup: str = ""
    reason: str = ""
    thorough: bool = True
    """Dead rows and bytes are given back at once, and the search follows; otherwise upkeep does that in its
    own time, and one search serves many orders."""
    canaries: Marks | None = None
    """Known texts that are looked for too."""

    step: Step = Step.REQUESTED
    waiting: str = ""
    """Why it does not go on: `held`, `approval`, `backups`, `unavailable`, `found`, or nothing."""
    waiting_for: list[str] = []
    """The holds, backups or places that it waits for."""
    request: str = ""
    """The governance request that its approval stands on."""
    marks: Marks | None = None
    messages: int = 0
    keys: int = 0
    until_ms: int = 0
    """`backups`: when the last of them loses its keys."""
    scan: Scan | None = None
    times: dict[str, int] = {}
    """When each step was taken, milliseconds since the epoch."""
    index: int = -1
    """Where the ledger has the certificate's digest."""

    @property
    def open(self) -> bool:
        """Whether there is a step left to take."""
        return self.step not in ENDS

    @property
    def begun(self) -> bool:
        """Whether it can't be undone any more."""
        return self.open and STEPS.index(self.step) >= STEPS.index(Step.APPROVED)

    def reached(self, step: Step) -> bool:
        """Whether a step has been taken."""
        return self.step in STEPS and STEPS.index(self.step) >= STEPS.index(step)

    @property
    def warrant(self) -> Warrant:
        """What people approve, and keepers act on: exactly this."""
        return Warrant(
            unit=self.unit,
            tenant=self.tenant,
            principal=self.principal,
            mailbox=self.mailbox,
            uids=self.uids,
            category=self.category,
            backup=self.backup,
            reason=self.reason,
        )

    def digest(self) -> bytes:
        """Return the hash of what is to be destroyed."""
        return self.warrant.digest()


def check(order: Order) -> None:
    """Raise InvalidInputError for an order that names too little or too much for its unit."""
    order.warrant.check()
    if len(order.id) != ID_BYTES:
        raise InvalidInputError("an order without an identifier")
    if order.canaries and len(order.canaries.prints) > CANARIES_MAX:
        raise InvalidInputError(public_text=f"At most {CANARIES_MAX} known texts are looked for.")


def next_step(order: Order) -> Step | None:
    """Return the step to be taken next; None at the end."""
    return _NEXT.get(order.step)


def advance(order: Order, step: Step, now_ms: int, **facts: Any) -> Order:
    """Return the order after a step, with what the step has found out.

    ConflictError for a step that is not the next one, or that claims what is not there.
    """
    if next_step(order) is not step:
        raise ConflictError(f"{step} does not follow {order.step}")
    if step is Step.CERTIFIED and facts.get("index", order.index) < 0:
        raise ConflictError("a certificate stands in the ledger")
    times = {**order.times, step.value: now_ms}
    after = msgspec.structs.replace(order, step=step, waiting="", waiting_for=[], times=times, **facts)
    _check_claim(after)
    return after


def wait(order: Order, why: str, what: list[str] | None = None, until_ms: int = 0) -> Order:
    """Return the order standing where it is, saying what for."""
    return msgspec.structs.replace(order, waiting=why, waiting_for=what or [], until_ms=until_ms)


def mark(order: Order, marks: Marks) -> Order:
    """Return the order with what will be looked for; only before anything is destroyed."""
    if order.step is not Step.APPROVED:
        raise ConflictError("marks are taken between approval and deletion")
    return msgspec.structs.replace(order, marks=marks)


def refuse(order: Order, now_ms: int, why: str) -> Order:
    """Return the order ended with nothing done."""
    if not order.open or order.reached(Step.DELETED):
        raise ConflictError("what has begun is finished, not refused")
    times = {**order.times, Step.REFUSED.value: now_ms}
    return msgspec.structs.replace(order, step=Step.REFUSED, waiting=why, waiting_for=[], times=times)


def _check_claim(order: Order) -> None:
    if order.unit is Unit.BACKUP:
        return  # its keys are not here: the backup is asked for again after it is gone
    if order.step is Step.DELETED and order.marks is None:
        raise ConflictError("nothing is deleted before it is known what to look for afterwards")
    if order.step is Step.VERIFIED and (order.scan is None or not order.scan.clean):
        raise ConflictError("an order is verified by a search that found nothing, and could have")
