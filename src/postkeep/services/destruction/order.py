"""The order and its steps. Pure: what was found out goes in, the order as it then stands comes out.

```
requested > cleared > approved > deleted > destroyed > purged > unbacked > verified > certified
```

Each name says what is true from then on. `advance` is the only way from one step to the next: never two at
once, and not without what the step claims, so that no order says it was verified before it was.
"""

import hashlib
import itertools
from enum import StrEnum
from typing import Any, Final

import msgspec

from postkeep.base.errors import ConflictError, InvalidInputError
from postkeep.base.ids import ID_BYTES, NOBODY
from postkeep.crypto.context import context
from postkeep.crypto.fingerprint import Fingerprint
from postkeep.services.destruction.scan import Scan

REASON_CHARS_MAX: Final = 1000  # characters: a case number and a sentence, not a file
CANARIES_MAX: Final = 16  # known texts in one order: each costs a pass over every byte
RANGES_MAX: Final = 1000  # ranges of UIDs in one order: what a person lists


class Unit(StrEnum):
    """What one order destroys."""

    MESSAGE = "message"
    MAILBOX = "mailbox"
    PERSON = "person"
    CATEGORY = "category"
    TENANT = "tenant"
    BACKUP = "backup"


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

    def digest(self) -> bytes:
        """Return the hash of what is to be destroyed: approvals are for exactly this."""
        chosen = self.uids if self.unit is Unit.MESSAGE else []  # a mailbox is ordered whole, however full
        ranges = b"".join(low.to_bytes(8, "big") + high.to_bytes(8, "big") for low, high in chosen)
        fields = (self.unit.value, self.tenant, self.principal, self.mailbox, ranges)
        rest = (self.category, self.backup, self.reason)
        return hashlib.sha256(context("destruction order", *fields, *rest)).digest()


def check(order: Order) -> None:
    """Raise InvalidInputError for an order that names too little or too much for its unit."""
    wanted = {
        Unit.MESSAGE: (True, True, True),
        Unit.MAILBOX: (True, True, True),
        Unit.PERSON: (True, True, False),
        Unit.TENANT: (True, False, False),
        Unit.CATEGORY: (True, False, False),
        Unit.BACKUP: (False, False, False),
    }[order.unit]
    named = (order.tenant != NOBODY, order.principal != NOBODY, bool(order.mailbox))
    if named != wanted or any(len(one) != ID_BYTES for one in (order.id, order.tenant, order.principal)):
        raise InvalidInputError("an order that does not name what its unit needs")
    by_uid = order.unit in {Unit.MESSAGE, Unit.MAILBOX}
    if bool(order.uids) != by_uid or len(order.uids) > RANGES_MAX:
        raise InvalidInputError(public_text=f"Name the messages by UID, in at most {RANGES_MAX} ranges.")
    if bool(order.category) != (order.unit is Unit.CATEGORY) or bool(order.backup) != (
        order.unit is Unit.BACKUP
    ):
        raise InvalidInputError("an order with a category or backup that its unit has none of")
    if order.canaries and len(order.canaries.prints) > CANARIES_MAX:
        raise InvalidInputError(public_text=f"At most {CANARIES_MAX} known texts are looked for.")
    if len(order.reason) > REASON_CHARS_MAX:
        raise InvalidInputError(public_text=f"A reason has at most {REASON_CHARS_MAX} characters.")


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
