"""What tickets are made with: operation tickets by purpose, staff tickets by role, grants by the kind of
request, users' tickets by the protocol that they signed in with. What a ticket may call stands in `rules`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from postkeep.model.categories import Category
from postkeep.model.ticket import Action
from postkeep.tickets.rules import (
    AUDIT,
    AUTHORITY,
    BACKUP,
    EXPORT,
    IMAP,
    KMS,
    LEDGER,
    MAIL,
    MX,
    NONE,
    OPERATIONS,
    OWNER,
    RELAY,
    STEWARD,
    SUBMISSION,
    VAULT,
)

_READ, _WRITE, _SEND = Action.MAIL_READ, Action.MAIL_WRITE, Action.MAIL_SEND
_DEPOSIT, _QUEUE, _MAINTAIN = Action.MAIL_DEPOSIT, Action.QUEUE_WORK, Action.STORE_MAINTAIN
_LOOK, _ADMIN, _OPERATE = Action.ADMIN_READ, Action.ADMIN_WRITE, Action.OPERATE


@dataclass(frozen=True, slots=True)
class Purpose:
    """What an operation ticket is for, who may have it, and what it allows."""

    name: str
    holders: tuple[str, ...]
    actions: tuple[Action, ...]
    categories: tuple[Category, ...]
    audience: tuple[str, ...]
    budget: int
    """Objects (deposits, leases, epochs ...) that one ticket may touch in its ten minutes."""


# fmt: off
PURPOSES: Final[tuple[Purpose, ...]] = (
    # mx delivers; submission delivers across tenants; relay delivers its reports of failure and delay.
    Purpose("deliver",  (MX, SUBMISSION, RELAY), (_DEPOSIT,), MAIL, (VAULT,), budget=5_000_000),
    Purpose("relay",    (RELAY,), (_QUEUE,), MAIL, (VAULT, KMS), budget=5_000_000),
    Purpose("backup",   (BACKUP,), (Action.BACKUP,), (*MAIL, Category.SECRET, Category.AUDIT),
                        (VAULT, KMS, LEDGER), budget=5_000_000),
    Purpose("reseal",   (STEWARD,), (Action.KEY_RESEAL,), NONE, (KMS, VAULT, AUTHORITY), budget=5_000_000),
    Purpose("maintain", (STEWARD,), (_MAINTAIN,), OPERATIONS, (VAULT, KMS), budget=100_000),
    # The end of a destruction: room given back, the certificate signed, its place in the ledger proved.
    Purpose("certify",  (STEWARD,), (_MAINTAIN, Action.LEDGER_WITNESS), (*OPERATIONS, *AUDIT),
                        (VAULT, KMS, LEDGER), budget=100_000),
    Purpose("witness",  (STEWARD,), (Action.LEDGER_WITNESS,), AUDIT, (LEDGER,), budget=100_000),
)
# fmt: on

STAFF_ACTIONS: Final = (
    _LOOK,
    _ADMIN,
    _OPERATE,
    _MAINTAIN,
    Action.KEY_PROVISION,
    Action.KEY_SHRED,
)
"""What the operator of the machine may do: everything but read, write or send mail, and approve."""

STAFF_CATEGORIES: Final = (Category.ACCOUNT, Category.AUDIT, Category.OPERATIONS)

STAFF_ROLES: Final = {
    "operator": (STAFF_ACTIONS, STAFF_CATEGORIES),
    "approver": ((_LOOK, Action.REQUEST_DECIDE), (Category.ACCOUNT, Category.OPERATIONS)),
    "auditor": ((_LOOK,), STAFF_CATEGORIES),
}
"""What a staff member's ticket allows, by role; of several roles, all that each allows."""

GRANT_ACTIONS: Final = {
    "destroy": ((_LOOK, _ADMIN, Action.KEY_SHRED), (Category.ACCOUNT, Category.OPERATIONS)),
    "export": ((Action.MAIL_EXPORT,), MAIL),
    "custody": ((Action.KEY_PROVISION, _OPERATE), OPERATIONS),
    "key_restore": ((_OPERATE,), OPERATIONS),
    "ledger_restore": ((_OPERATE,), OPERATIONS),
    "dual_control": ((), ()),
    "staff": ((), ()),
}
"""What a grant allows, by the kind of its request. `dual_control` and `staff` are done in the authority."""

GRANT_AUDIENCE: Final = (AUTHORITY, KMS, VAULT, LEDGER, BACKUP)
GRANT_ELSEWHERE: Final = {"export": (EXPORT, (VAULT, KMS))}
"""Who holds a grant and where it is shown, for the kinds that the steward never holds."""
STAFF_AUDIENCE: Final = (STEWARD, BACKUP, AUTHORITY, KMS, VAULT, LEDGER)

SESSION_ACTIONS: Final = {
    IMAP: (_READ, _WRITE),
    SUBMISSION: (_SEND,),
    OWNER: (Action.LEDGER_OWN, Action.MAIL_SHARE),
}
"""What a user's ticket allows, by the protocol that the user signed in with."""

SESSION_AUDIENCE: Final = {IMAP: (VAULT, KMS), SUBMISSION: (VAULT,), OWNER: (LEDGER, KMS, VAULT)}

SESSION_CATEGORIES: Final = {IMAP: MAIL, SUBMISSION: MAIL, OWNER: AUDIT}


def grant_place(kind: str) -> tuple[str, tuple[str, ...]]:
    """Say which module holds grants of a kind, and which keepers take them."""
    return GRANT_ELSEWHERE.get(kind, (STEWARD, GRANT_AUDIENCE))


def purpose_named(name: str, purposes: Sequence[Purpose] = PURPOSES) -> Purpose | None:
    """Find a purpose."""
    return next((purpose for purpose in purposes if purpose.name == name), None)
