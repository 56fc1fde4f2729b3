"""Watching over the ledger: every tree head must extend the last one signed, or nothing is signed any more.

kms holds the key that signs checkpoints and its own memory of the last head that it signed, in another
process and database than the ledger's. A ledger that is rolled back or forked can therefore get no
signature, and no key leaves kms until someone has looked.

The way out is a grant for exactly the two heads: the one signed and lost, and the one that the ledger shows.
The event that says both is in the ledger before the lost one is forgotten.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from postkeep.base.errors import IntegrityError, NotFoundError, PostkeepError, UnavailableError
from postkeep.crypto.merkle import HASH_BYTES, verify_consistency
from postkeep.crypto.note import Checkpoint
from postkeep.model.audit import EventName
from postkeep.services.kms.history_file import HistoryFile
from postkeep.services.kms.restored_api import BrokenHistory
from postkeep.services.kms.signing import LedgerSigner
from postkeep.services.kms.tenant_heads import TenantLedger, sign_tenant_heads
from postkeep.services.ledger.api import Consistency, Done, Proof, PublishCheckpoint, TreeHead
from postkeep.services.ledger.trail import Trail
from postkeep.stores.kms_installation import KmsInstallationRows, SignedHead

INTERVAL_SECONDS: Final = 1.0
"""How often the ledger is asked for its head: the age that the newest signed checkpoint may have."""

ADVICE: Final = "docs/runbooks/restore.md, then postkeep ledger accept-restored"
"""What an operator reads and says about it."""
TEXT: Final = f"The ledger's history is broken: no key is given until an operator has judged it ({ADVICE})."

_log = structlog.get_logger(__name__)


class Ledger(TenantLedger, Protocol):
    """What is asked of the ledger; `LedgerClient` is one."""

    async def head(self) -> TreeHead:
        """Return size and root of the tree as it stands."""

    async def consistency(self, request: Consistency) -> Proof:
        """Return the proof that one tree extends another."""

    async def publish_checkpoint(self, request: PublishCheckpoint) -> Done:
        """Store a signed checkpoint."""


def check_head(last: SignedHead, head: TreeHead) -> None:
    """Raise IntegrityError if a head can't follow the last one signed, whatever its proof."""
    if head.origin != last.origin:
        raise IntegrityError(f"the ledger calls itself {head.origin!r}, it was {last.origin!r}")
    if len(head.root) != HASH_BYTES:
        raise IntegrityError("the ledger's root is not a hash")
    if head.size < last.size:
        raise IntegrityError(f"the ledger has shrunk from {last.size} to {head.size} entries")


class Checkpointer:
    """Signs the ledger's heads, one after the other, as long as each extends the one before."""

    def __init__(
        self,
        ledger: Ledger,
        rows: KmsInstallationRows,
        key: LedgerSigner,
        trail: Trail,
        *,
        keep: Callable[[bytes], None] = lambda _: None,
        file: HistoryFile | None = None,
    ) -> None:
        """`keep` gets every signed note: a copy out of the ledger's reach. `file` recalls over a restart what
        a broken history was found with; None: nothing does."""
        self._ledger = ledger
        self._rows = rows
        self._key = key
        self._trail = trail
        self._keep = keep
        self._last: SignedHead | None = None
        self._published: SignedHead | None = None
        self._file = file
        self._recalled: BrokenHistory | None = None
        self.alarm = ""
        """Why nothing is signed any more; empty while all is well."""
        self.broken: BrokenHistory | None = None
        """The heads that contradict each other, while they do."""

    @property
    def origin(self) -> str:
        """The ledger's name, once its first head was signed."""
        return self._last.origin if self._last is not None else ""

    def check_sound(self) -> None:
        """Raise UnavailableError if the ledger was caught with another history than the one signed."""
        if self.alarm:
            raise UnavailableError(
                "the ledger's history does not hold", code="unavailable.ledger", public_text=TEXT
            )

    async def load(self) -> None:
        """Recall the last head signed. Call it once, before anything else."""
        self._last = await self._rows.signed_head()
        if self._file is not None:
            self._recalled = await asyncio.to_thread(self._file.read)

    async def run(self) -> None:
        """Step every second until cancelled; once the ledger is caught, not before that is accepted."""
        while True:
            if not self.alarm:
                try:
                    await self.step()
                    await self.sign_tenants()
                except PostkeepError as error:
                    _log.info("checkpoint_delayed", code=error.code, detail=error.detail)
            await asyncio.sleep(INTERVAL_SECONDS)

    async def step(self) -> None:
        """Sign and publish the present head if it is new.

        Raises IntegrityError, after raising the alarm, if it does not extend the last one signed; any other
        PostkeepError if the ledger does not answer now.
        """
        self.check_sound()
        head = await self._ledger.head()
        try:
            await self._follow(head)
        except IntegrityError as error:
            await self._raise_alarm(error, head)
            raise
        await self._forget()
        last = self._last
        if last is None or last == self._published:
            return
        note = self._key.sign(Checkpoint(last.origin, last.size, last.root))
        self._keep(note)
        await self._ledger.publish_checkpoint(PublishCheckpoint(note))
        self._published = last

    async def sign_tenants(self) -> None:
        """Sign heads of tenants' logs that stand in the tree signed last.

        IntegrityError, after the alarm, where the ledger shows one that does not.
        """
        last = self._published
        if last is None:
            return
        try:
            await sign_tenant_heads(self._ledger, self._key, last)
        except IntegrityError as error:
            await self._raise_alarm(error, TreeHead(last.origin, last.size, last.root))
            raise

    async def accept(self, history: BrokenHistory, record: Callable[[TreeHead], Awaitable[None]]) -> None:
        """Give up the head that the ledger contradicts, and sign on from the ledger as it stands now.

        `record` has it in the ledger, with the head that it goes on from, before anything is forgotten.
        NotFoundError unless these heads contradict each other now; IntegrityError if the ledger does not
        extend what it has shown then: nobody has approved that.
        """
        if self.broken is None or self.broken != history:
            raise NotFoundError("this is not what the ledger shows", code="not_found.broken_history")
        head = await self._ledger.head()
        await self._check_extends(history.shown, head)
        await record(head)
        if self._file is not None:
            await asyncio.to_thread(self._file.give_up, history.lost)
        goes_on = SignedHead(head.origin, head.size, head.root)
        await self._rows.set_signed_head(goes_on)
        self._last, self._published = goes_on, None
        self._recalled = history
        await self._forget()
        self.alarm, self.broken = "", None
        _log.warning("ledger_history_accepted", lost_size=history.lost.size, goes_on_from=head.size)

    async def _follow(self, head: TreeHead) -> None:
        """Check a head and remember it durably: only what is remembered is ever signed."""
        last = self._last
        if last is None:
            last = SignedHead(head.origin, 0, b"")
        check_head(last, head)
        if head.size == 0:
            return
        if last.size:
            proof: list[bytes] = []
            if head.size != last.size:
                proof = (await self._ledger.consistency(Consistency(last.size, head.size))).hashes
            verify_consistency(last.size, last.root, head.size, head.root, proof)
        accepted = SignedHead(head.origin, head.size, head.root)
        if accepted != self._last:
            await self._rows.set_signed_head(accepted)
            self._last = accepted

    async def _check_extends(self, shown: TreeHead, head: TreeHead) -> None:
        """Raise IntegrityError unless a head extends one that was shown."""
        check_head(SignedHead(shown.origin, shown.size, shown.root), head)
        if shown.size:
            proof = (await self._ledger.consistency(Consistency(shown.size, head.size))).hashes
            verify_consistency(shown.size, shown.root, head.size, head.root, proof)

    async def _raise_alarm(self, error: IntegrityError, head: TreeHead) -> None:
        self.alarm = error.detail
        last = self._last or SignedHead(head.origin, 0, b"")
        self.broken = await self._heads(TreeHead(*last), head)
        size = last.size
        _log.critical(
            "ledger_history_broken",
            reason=error.detail,
            signed_size=size,
            shown_size=head.size,
            advice=ADVICE,
        )
        self._trail.note(
            EventName.KEY_REFUSE,
            outcome="refused",
            code=error.code,
            method="ledger.publish_checkpoint",
            count=head.size,
            digest=head.root.hex(),
            note=error.detail,
        )

    async def _heads(self, lost: TreeHead, shown: TreeHead) -> BrokenHistory:
        """Name the heads that contradict each other: as they were named before a restart, so that approvals
        are for the same ones, if the ledger has only grown since."""
        known = self._recalled
        if known is not None and known.lost == lost:
            try:
                await self._check_extends(known.shown, shown)
            except PostkeepError as error:
                _log.info("ledger_shows_another_head", code=error.code)
            else:
                return known
        broken = BrokenHistory(lost, shown)
        if self._file is not None:
            await asyncio.to_thread(self._file.write, broken)
        self._recalled = broken
        return broken

    async def _forget(self) -> None:
        """Drop what was recalled of a broken history: it holds again, or was accepted."""
        if self._recalled is not None and self._file is not None:
            await asyncio.to_thread(self._file.remove)
        self._recalled = None
