"""What this vault remembers of mailboxes, so that a deposit can be planned without asking the database.

Memory only saves time. Every statement that relies on it checks it against the rows, so what is out of date
costs a second try and nothing else.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from postkeep.services.vault.watching import MailboxChanged
from postkeep.stores.vault_deposits import DepositState, MailboxState, PrincipalState
from postkeep.stores.vault_optimistic import Standing

REMEMBERED_MAX: Final = 32_768  # mailboxes, about 600 octets each: those that get mail in an hour or so


class Standings:
    """The mailboxes seen last."""

    def __init__(self, remembered_max: int = REMEMBERED_MAX) -> None:
        self._remembered_max = remembered_max
        self._boxes: OrderedDict[tuple[bytes, bytes], Standing] = OrderedDict()
        self._by_role: dict[tuple[bytes, bytes, str], Standing] = {}

    def __len__(self) -> int:
        """How many mailboxes are remembered."""
        return len(self._boxes)

    def note(self, standing: Standing) -> None:
        """Remember where a mailbox stands."""
        key = standing.tenant, standing.mailbox
        self._drop(key)
        self._boxes[key] = standing
        if standing.role:
            self._by_role[standing.tenant, standing.principal, standing.role] = standing
        if len(self._boxes) > self._remembered_max:
            self._drop(next(iter(self._boxes)))

    def note_stored(self, state: DepositState) -> None:
        """Remember where the mailboxes stand that a group was stored into."""
        for box in state.mailboxes.values():
            self.note(
                Standing(
                    box.tenant,
                    box.mailbox,
                    box.principal,
                    box.role,
                    box.uid_validity,
                    box.uid_next,
                    box.highest_modseq,
                )
            )

    def forget(self, state: DepositState) -> None:
        """Forget mailboxes that turned out to stand elsewhere, or may."""
        for key in state.mailboxes:
            self._drop(key)

    def changed(self, change: MailboxChanged) -> None:
        """Hear that a mailbox has moved on to another modseq than the one remembered, and forget it."""
        tenant, _, mailbox, modseq = change
        standing = self._boxes.get((tenant, mailbox))
        if standing is not None and standing.highest_modseq != modseq:
            self._drop((tenant, mailbox))

    def unknown(
        self, roles: Iterable[tuple[bytes, bytes, str]], mailboxes: Iterable[tuple[bytes, bytes]]
    ) -> tuple[list[tuple[bytes, bytes, str]], list[tuple[bytes, bytes]]]:
        """Return those of the mailboxes that are not remembered."""
        return (
            [key for key in roles if key not in self._by_role],
            [key for key in mailboxes if key not in self._boxes],
        )

    def expected(
        self,
        principals: Sequence[tuple[bytes, bytes]],
        roles: Iterable[tuple[bytes, bytes, str]],
        mailboxes: Iterable[tuple[bytes, bytes]],
    ) -> DepositState:
        """Return a state to plan on, as if it were locked. What is not remembered is missing from it.

        Principals are expected to be there with room enough: the statement that stores knows better.
        """
        state = DepositState(principals={key: PrincipalState(None, 0) for key in principals})
        standings = [self._by_role.get(key) for key in roles] + [self._boxes.get(key) for key in mailboxes]
        for standing in standings:
            if standing is None:
                continue
            key = standing.tenant, standing.mailbox
            self._boxes.move_to_end(key)
            box = state.mailboxes.setdefault(key, MailboxState(*standing))
            if box.role:
                state.by_role[box.tenant, box.principal, box.role] = box
        return state

    def _drop(self, key: tuple[bytes, bytes]) -> None:
        standing = self._boxes.pop(key, None)
        if standing is not None:
            role = standing.tenant, standing.principal, standing.role
            if self._by_role.get(role) is standing:
                del self._by_role[role]
