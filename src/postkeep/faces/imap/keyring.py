"""The keys of one session: epochs as kms opened them for this person's ticket, kept while it lives."""

import contextlib
import time
from collections.abc import Iterable
from typing import Protocol

from postkeep.base.errors import IntegrityError, PostkeepError
from postkeep.crypto.epoch import EpochReader
from postkeep.crypto.message import unwrap_key
from postkeep.faces.imap.keepers import Keepers
from postkeep.faces.imap.limits import EPOCHS_PER_CALL, WHOLE_KEYRING_FROM
from postkeep.services.kms.api import OpenEpochs, SealedEpoch
from postkeep.services.vault.api import EpochRow, FetchEpochs, ReplaceEpochs


class Wrapped(Protocol):
    """What comes from the vault with its wrapped keys: a summary, a text, a part of a body."""

    @property
    def body(self) -> bytes:
        """What the keys are of."""

    @property
    def epoch(self) -> bytes:
        """The epoch they are wrapped under."""

    @property
    def index(self) -> int:
        """The step of its chains."""

    @property
    def wraps(self) -> bytes:
        """Both keys, wrapped."""


class Keyring:
    """Opens epochs in bulk when a command needs them, and unwraps message keys."""

    def __init__(self, keepers: Keepers, tenant: bytes, principal: bytes, *, shared: bool = False) -> None:
        """`shared`: the principal is somebody else, whose epochs the ticket's own may have opened."""
        self._shared = shared
        self._keepers = keepers
        self._tenant = tenant
        self._principal = principal
        self._readers: dict[bytes, EpochReader] = {}
        self._until: float | None = None
        """When the epochs must be opened anew, where the company holds a key of its own."""

    async def need(self, epochs: Iterable[bytes], ticket: bytes) -> None:
        """Have these epochs open, with one call each to vault and kms for all that are missing.

        An epoch that can't be opened is left out: what it covers raises IntegrityError when it is read.
        """
        if self._until is not None and time.monotonic() >= self._until:
            self._readers.clear()  # the company's own key has to agree again
            self._until = None
        missing = {epoch for epoch in epochs if epoch not in self._readers}
        if not missing:
            return
        wanted = None if len(missing) >= WHOLE_KEYRING_FROM else list(missing)
        listed = await self._keepers.vault.epochs(FetchEpochs(self._principal, wanted), ticket=ticket)
        rows = [row for row in listed.epochs if row.epoch not in self._readers]
        for start in range(0, len(rows), EPOCHS_PER_CALL):
            await self._open(rows[start : start + EPOCHS_PER_CALL], ticket)

    async def _open(self, rows: list[EpochRow], ticket: bytes) -> None:
        request = OpenEpochs(self._principal, [SealedEpoch(row.epoch, row.sealed) for row in rows])
        answer = await self._keepers.kms.open_epochs(request, ticket=ticket)
        if answer.lease_seconds:
            until = time.monotonic() + answer.lease_seconds
            self._until = until if self._until is None else min(self._until, until)
        cheaper = []
        for opened in answer.epochs:
            if opened.error:
                continue
            self._readers[opened.epoch] = EpochReader(
                opened.epoch, {category.value: start for category, start in opened.chains.items()}
            )
            if opened.sealed is not None:
                cheaper.append(EpochRow(opened.epoch, opened.sealed))
        if cheaper and not self._shared:  # what is stored is the owner's to replace
            with contextlib.suppress(PostkeepError):  # only the next opening costs more
                await self._keepers.vault.replace_epochs(
                    ReplaceEpochs(self._principal, cheaper),
                    ticket=ticket,
                )

    def wrap_key(self, category: str, epoch: bytes, index: int) -> bytes:
        """Return one wrap key; raises IntegrityError for an epoch that is not open."""
        reader = self._readers.get(epoch)
        if reader is None:
            raise IntegrityError("the epoch could not be opened")
        return reader.wrap_key(category, index)

    def message_key(self, category: str, item: Wrapped) -> bytes:
        """Unwrap a message's key for one category; raises IntegrityError."""
        return self.unwrap(category, item.body, item.wraps, item.epoch, item.index)

    def unwrap(self, category: str, of: bytes, wraps: bytes, epoch: bytes, index: int) -> bytes:
        """Unwrap the key of what has wraps like a message's, as a page; raises IntegrityError."""
        key = self.wrap_key(category, epoch, index)
        return unwrap_key(category, wraps, key, self._tenant, of, self._principal, epoch, index)
