"""Staff accounts, as values: who works here, in which roles, and whether in good standing.

The whole account is sealed in its row, so that somebody who can write the database but has no key can't
make an approver or change a role.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from postkeep.base.errors import InvalidInputError
from postkeep.crypto.context import context
from postkeep.tickets.entitlements import STAFF_ROLES

APPROVER: Final = "approver"
GUARDED_ROLES: Final = frozenset({"approver", "operator"})
"""Under dual control nobody gets one of these, or a new password for one, on one person's word."""

APPROVERS_MIN: Final = 2
"""Approvers who can approve, while dual control is on."""

NAME_CHARACTERS_MAX: Final = 64
STAFF_MAX: Final = 1000
"""Staff accounts: a large company's operations, with room."""


class StaffAccount(msgspec.Struct, frozen=True, array_like=True):
    """One staff member."""

    id: bytes
    name: str
    """What the member types at `--as`; in the ledger stands only the identifier."""
    roles: tuple[str, ...]
    enabled: bool
    verifier: bytes
    """The password's Argon2id hash."""
    created_ms: int
    last_sign_in_ms: int = 0
    """0: never signed in, so nobody has shown yet that the password is in its owner's hands."""

    @property
    def approves(self) -> bool:
        """Whether the account's votes count."""
        return self.enabled and APPROVER in self.roles


class Settings(msgspec.Struct, frozen=True, array_like=True):
    """How the installation is governed."""

    dual_control: bool = False
    since_ms: int = 0


def approvers_of(accounts: Iterable[StaffAccount]) -> frozenset[bytes]:
    """Return whose votes count now."""
    return frozenset(account.id for account in accounts if account.approves)


def guarded(account: StaffAccount) -> bool:
    """Whether changes of this account need approvals under dual control."""
    return not GUARDED_ROLES.isdisjoint(account.roles)


def check_name(name: str) -> str:
    """Return a staff member's name in its one form: lower case ASCII letters, digits, dot, dash."""
    folded = name.strip().lower()
    allowed = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")
    if not folded or len(folded) > NAME_CHARACTERS_MAX or not set(folded) <= allowed:
        raise InvalidInputError(
            public_text=f"A staff name has 1 to {NAME_CHARACTERS_MAX} letters, digits, dots or dashes."
        )
    return folded


def check_roles(roles: Sequence[str]) -> tuple[str, ...]:
    """Return roles once each, in the table's order; InvalidInputError for none or an unknown one."""
    if not roles or not set(roles) <= STAFF_ROLES.keys():
        raise InvalidInputError(public_text=f"The roles are: {', '.join(STAFF_ROLES)}.")
    return tuple(role for role in STAFF_ROLES if role in roles)


def change_context(act: str, staff: bytes, *parts: str) -> bytes:
    """Return the octets that a request for a change of staff is about; its digest is their SHA-256."""
    return context("staff change", act, staff, *parts)
