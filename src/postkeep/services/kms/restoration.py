"""A restored key store gives no key until that is accepted.

kms refuses to start from a store that is older than the ledger knows (`witness`). When the operator says that
it is meant, or `backup restore` has put it there, kms starts and *holds* it: the authority gets what staff
need to sign in and to approve, mail is accepted and sealed, and nothing that opens anything leaves. It ends
with a grant: two approvals under dual control. Where neither the authority nor the ledger says that dual
control is on, policy lets it pass at the start, and the ledger says so.

That a store is held stands in a file beside it and in the ledger: taking away one of them frees nothing.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from postkeep.base.errors import IntegrityError, NotFoundError, RefusedError, UnavailableError
from postkeep.base.files import remove_file, write_file
from postkeep.base.ids import ID_BYTES, new_id
from postkeep.model.audit import EventName
from postkeep.services.kms import metrics
from postkeep.services.kms.restored_api import RestoredBy, RestoredStore, restored_subject
from postkeep.services.kms.telling import caller_fields
from postkeep.services.kms.witness import StoreWitness
from postkeep.services.ledger.api import KeyState
from postkeep.services.ledger.standing import HELD
from postkeep.services.ledger.trail import EventFields, Trail
from postkeep.tickets.clear import Grant

FILE_NAME: Final = "key-store.restored"
"""In the state directory of kms, while the store is held."""
FILE_BYTES_MAX: Final = 1024
"""Octets of that file: four short fields."""
DUAL_CONTROL_APPROVALS: Final = 2
"""What dual control means here, where the ledger says that it is on: as in the authority."""
CODE: Final = "unavailable.restored"
ADVICE: Final = "postkeep key accept-restored"
"""What an operator says about it."""
TEXT: Final = f"A restored key store waits: no key is given until an operator accepts it ({ADVICE})."

_log = structlog.get_logger(__name__)


class Restoration:
    """Whether the key store is held, and how that ends. Use it from one event loop."""

    def __init__(self, directory: Path, witness: StoreWitness, trail: Trail) -> None:
        self._path = directory / FILE_NAME
        self._witness = witness
        self._trail = trail
        self._one_at_a_time = asyncio.Lock()
        self._released = asyncio.Event()
        self._released.set()
        self.store: RestoredStore | None = None
        """What is held; None: keys are given."""
        self.approvals = 0
        """How many approvals are asked for at least, as the ledger tells."""

    async def load(self) -> None:
        """Recall a store that is held. IntegrityError (`key_store`) where the file says nothing sensible."""
        self._hold(await asyncio.to_thread(_read, self._path))

    async def begin(self, known: KeyState) -> None:
        """Compare the store with what the ledger knows. Call it once, before anything is served.

        IntegrityError (`key_store`) for a store that is older and that nobody has said to be meant;
        UnavailableError while the ledger takes no events: call it again.
        """
        self.approvals = DUAL_CONTROL_APPROVALS if known.dual_control else 0
        if await self._witness.check_told(known.state):
            found = RestoredStore(new_id(), RestoredBy.OPERATOR, known.state, self._witness.state)
            self._hold(await asyncio.to_thread(leave_held, self._path, found))
            await self._witness.go_on_from(known.state)
        store = self.store
        if store is not None and store.id.hex() == known.restored and not known.held:
            # It was accepted, and that was cut short before the file had gone.
            await asyncio.to_thread(remove_file, self._path)
            self._hold(None)
        elif store is None and known.held:
            state = self._witness.state
            missing = RestoredStore(bytes.fromhex(known.restored), RestoredBy.OPERATOR, state, state)
            self._hold(await asyncio.to_thread(leave_held, self._path, missing))
        if self.store is not None:
            await self._tell_held(self.store, known)
        self._witness.forget_accepted()

    async def _tell_held(self, store: RestoredStore, known: KeyState) -> None:
        _log.critical("key_store_held", by=store.by.value, told=store.told, was=store.was, advice=ADVICE)
        if known.restored != store.id.hex():
            await self._trail.record(
                EventName.KEY_ACCEPT,
                code=HELD,
                state=self._witness.state,
                actor="operator",
                digest=store.id.hex(),
                note=f"store was at {store.was}, by {store.by.value}",
            )

    def check(self) -> None:
        """Raise UnavailableError (`unavailable.restored`) while the store is held."""
        if self.store is not None:
            raise UnavailableError("a restored key store waits to be accepted", code=CODE, public_text=TEXT)

    async def released(self) -> None:
        """Wait until keys are given."""
        await self._released.wait()

    async def pass_by_policy(self, dual_control: Callable[[], Awaitable[bool]]) -> None:
        """Accept the store where neither the ledger nor the authority says that dual control is on."""
        if self.store is None or self.approvals or await dual_control():
            return
        async with self._one_at_a_time:
            if self.store is not None:
                await self._accept(self.store, EventFields(actor="operator"), "by-policy")

    async def accept(self, grant: Grant, identifier: bytes) -> None:
        """Accept a store on a grant for exactly it; RefusedError for any other, or with too few approvals.

        NotFoundError where it is not held.
        """
        async with self._one_at_a_time:
            store = self.store
            if store is None or store.id != identifier:
                raise NotFoundError("no restored key store waits", code="not_found.restored")
            check_grant(grant, "key_restore", restored_subject(store, self.approvals), self.approvals)
            await self._accept(store, caller_fields(grant), f"by request {grant.request}")

    async def _accept(self, store: RestoredStore, fields: EventFields, how: str) -> None:
        """Give keys again: the ledger knows first, then the file goes."""
        told = EventFields(
            state=self._witness.state, digest=store.id.hex(), note=f"store was at {store.was}, {how}"
        )
        await self._trail.record(EventName.KEY_ACCEPT, **(fields | told))
        await asyncio.to_thread(remove_file, self._path)
        self._hold(None)
        _log.warning("key_store_accepted", was=store.was, how=how)

    def _hold(self, store: RestoredStore | None) -> None:
        self.store = store
        metrics.HELD.set(store is not None)
        if store is None:
            self._released.set()
        else:
            self._released.clear()


def check_grant(grant: Grant, kind: str, subject: bytes, approvals: int) -> None:
    """Raise RefusedError unless a grant is for exactly this act, with as many approvals."""
    if grant.purpose != kind or not hmac.compare_digest(grant.subject, subject.hex()):
        raise RefusedError("the grant is for something else", code="refused.subject")
    if grant.approvals < approvals:
        raise RefusedError(f"it needs {approvals} approvals", code="refused.approvals")


def leave_held(path: Path, store: RestoredStore) -> RestoredStore:
    """Write down durably that a store is held, in its directory or at this path; return it."""
    write_file(path, msgspec.json.encode(store), 0o600)
    return store


def _read(path: Path) -> RestoredStore | None:
    try:
        with path.open("rb") as file:
            store = msgspec.json.decode(file.read(FILE_BYTES_MAX), type=RestoredStore)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        store = None
    if store is None or len(store.id) != ID_BYTES or not 0 <= store.was <= store.told:
        text = f"{path} is damaged"
        raise IntegrityError(text, code="key_store", public_text=f"{text}. Put back a good copy.")
    return store
