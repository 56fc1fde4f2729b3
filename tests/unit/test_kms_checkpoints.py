"""kms against a ledger that lies: a real Merkle tree whose owner shows what he likes."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from postkeep.base.clock import FixedClock
from postkeep.base.errors import IntegrityError, NotFoundError, UnavailableError
from postkeep.crypto import merkle
from postkeep.crypto.cosignature import open_both
from postkeep.services.kms.checkpoints import Checkpointer
from postkeep.services.kms.history_file import HistoryFile
from postkeep.services.kms.signing import LedgerSigner, PostQuantumKey, SigningKey
from postkeep.services.ledger.api import (
    AnchoredHeads,
    Consistency,
    Done,
    Proof,
    PublishCheckpoint,
    PublishTenantCheckpoints,
    TenantHeads,
    TreeHead,
)
from postkeep.stores.kms_installation import KmsInstallationRows, SignedHead


class LyingLedger:
    """Keeps entries, answers with right proofs over them, and lets the test rewrite them."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.origin = "ledger.example"
        self.notes: list[bytes] = []
        self.away = False

    def _node(self, level: int, index: int) -> bytes:
        leaves = [merkle.leaf_hash(entry) for entry in self.entries]
        width = 1 << level
        nodes = leaves[index * width : (index + 1) * width]
        while len(nodes) > 1:
            nodes = [merkle.node_hash(nodes[i], nodes[i + 1]) for i in range(0, len(nodes), 2)]
        return nodes[0]

    async def head(self) -> TreeHead:
        size = len(self.entries)
        return TreeHead(self.origin, size, merkle.tree_root(size, self._node))

    async def consistency(self, request: Consistency) -> Proof:
        return Proof(merkle.consistency_proof(request.old, request.new, self._node))

    async def tenant_heads(self, request: TenantHeads) -> AnchoredHeads:
        del request
        return AnchoredHeads([])

    async def publish_tenant_checkpoints(self, request: PublishTenantCheckpoints) -> Done:
        raise AssertionError("nothing was asked to be signed")

    async def publish_checkpoint(self, request: PublishCheckpoint) -> Done:
        if self.away:
            raise UnavailableError("away")
        self.notes.append(request.note)
        return Done()


class Memory:
    """What kms remembers, in the place of its database."""

    def __init__(self) -> None:
        self.head: SignedHead | None = None

    async def signed_head(self) -> SignedHead | None:
        return self.head

    async def set_signed_head(self, head: SignedHead) -> None:
        self.head = head


class Notes:
    """The trail, listened to."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def note(self, event: object, **fields: Any) -> None:
        self.events.append({"event": event, **fields})


class Watch:
    def __init__(self, directory: Path | None = None) -> None:
        self.file = HistoryFile(directory) if directory else None
        self.ledger = LyingLedger()
        self.memory = Memory()
        self.trail = Notes()
        self.key = LedgerSigner(SigningKey(os.urandom(32)), PostQuantumKey(os.urandom(32)), FixedClock())
        self.ledger.entries = [b"%d" % number for number in range(10)]
        self.start()

    def start(self) -> None:
        rows = cast("KmsInstallationRows", self.memory)
        self.checkpointer = Checkpointer(self.ledger, rows, self.key, cast("Any", self.trail), file=self.file)
        asyncio.run(self.checkpointer.load())

    def step(self) -> None:
        asyncio.run(self.checkpointer.step())

    def signed_sizes(self) -> list[int]:
        keys = self.key.public_key, self.key.mldsa44_key
        return [open_both(note, self.ledger.origin, *keys).size for note in self.ledger.notes]


def test_each_new_head_is_signed_once() -> None:
    watch = Watch()
    watch.step()
    watch.step()
    watch.ledger.entries += [b"more"] * 7
    watch.step()
    assert watch.signed_sizes() == [10, 17]
    assert watch.memory.head is not None
    assert watch.memory.head.size == 17


def test_an_empty_ledger_is_not_signed() -> None:
    watch = Watch()
    watch.ledger.entries = []
    watch.step()
    assert watch.ledger.notes == []


def test_a_head_remembered_but_not_published_is_published_later_and_after_a_restart() -> None:
    watch = Watch()
    watch.ledger.away = True
    with pytest.raises(UnavailableError):
        watch.step()
    assert watch.checkpointer.alarm == ""
    watch.start()
    watch.ledger.away = False
    watch.step()
    assert watch.signed_sizes() == [10]


def rewrite(watch: Watch) -> None:
    watch.ledger.entries[3] = b"rewritten"


def rewrite_and_grow(watch: Watch) -> None:
    watch.ledger.entries[3] = b"rewritten"
    watch.ledger.entries += [b"new"] * 20


def roll_back(watch: Watch) -> None:
    del watch.ledger.entries[8:]


def roll_back_and_grow_otherwise(watch: Watch) -> None:
    del watch.ledger.entries[8:]
    watch.ledger.entries += [b"other"] * 5


def empty(watch: Watch) -> None:
    watch.ledger.entries.clear()


def rename(watch: Watch) -> None:
    watch.ledger.origin = "another.example"


@pytest.mark.parametrize(
    "crime", [rewrite, rewrite_and_grow, roll_back, roll_back_and_grow_otherwise, empty, rename]
)
@pytest.mark.parametrize("restarted", [False, True])
def test_another_history_is_never_signed_and_raises_an_alarm(
    crime: Callable[[Watch], None], restarted: object
) -> None:
    watch = Watch()
    watch.step()
    remembered = watch.memory.head
    honest = [*watch.ledger.entries]
    if restarted:
        watch.start()
    crime(watch)
    with pytest.raises(IntegrityError):
        watch.step()
    assert len(watch.ledger.notes) == 1
    assert watch.memory.head == remembered
    assert watch.trail.events[0]["outcome"] == "refused"
    with pytest.raises(UnavailableError):
        watch.checkpointer.check_sound()
    # Showing the old face again does not help: someone has to look.
    watch.ledger.entries, watch.ledger.origin = [*honest, b"x"], "ledger.example"
    with pytest.raises(UnavailableError):
        watch.step()
    assert len(watch.ledger.notes) == 1
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(watch.checkpointer.run(), 0.1))
    assert len(watch.ledger.notes) == 1


@pytest.mark.parametrize("crime", [rewrite_and_grow, roll_back, empty, rename])
def test_what_was_approved_is_accepted_and_the_ledger_says_both_heads_before(
    crime: Callable[[Watch], None], tmp_path: Path
) -> None:
    watch = Watch(tmp_path)
    watch.step()
    lost = watch.memory.head
    crime(watch)
    with pytest.raises(IntegrityError):
        watch.step()
    broken = watch.checkpointer.broken
    assert broken is not None
    assert broken.lost == TreeHead(*lost or ())
    watch.ledger.entries += [b"approvals"] * 3
    watch.start()  # a restart while approvals are collected changes nothing of what is approved
    with pytest.raises(IntegrityError):
        watch.step()
    assert watch.checkpointer.broken == broken
    told: list[TreeHead] = []

    async def record(head: TreeHead) -> None:
        assert watch.memory.head == lost
        told.append(head)

    asyncio.run(watch.checkpointer.accept(broken, record))
    assert [head.size for head in told] == [len(watch.ledger.entries)]
    watch.checkpointer.check_sound()
    watch.step()
    assert open_both(
        watch.ledger.notes[-1], watch.ledger.origin, watch.key.public_key, watch.key.mldsa44_key
    ).size == len(watch.ledger.entries)
    watch.start()
    watch.step()
    with pytest.raises(NotFoundError):
        asyncio.run(watch.checkpointer.accept(broken, record))
    assert not list(tmp_path.glob("ledger.broken*"))


def test_a_ledger_that_was_changed_once_more_is_not_what_was_approved(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.step()
    remembered = watch.memory.head
    roll_back(watch)
    with pytest.raises(IntegrityError):
        watch.step()
    broken = watch.checkpointer.broken
    assert broken is not None
    watch.ledger.entries[2] = b"rewritten meanwhile"
    watch.ledger.entries += [b"more"] * 9

    async def record(_head: TreeHead) -> None:
        raise AssertionError("it is not told of, as it is not done")

    with pytest.raises(IntegrityError):
        asyncio.run(watch.checkpointer.accept(broken, record))
    other = msgspec.structs.replace(broken, lost=broken.shown)
    with pytest.raises(NotFoundError):
        asyncio.run(watch.checkpointer.accept(other, record))
    assert watch.memory.head == remembered
    with pytest.raises(UnavailableError):
        watch.checkpointer.check_sound()


def test_a_ledger_that_was_put_right_and_restarted_needs_nobodys_word(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.step()
    honest = [*watch.ledger.entries]
    roll_back(watch)
    with pytest.raises(IntegrityError):
        watch.step()
    assert (tmp_path / "ledger.broken").exists()
    watch.ledger.entries = [*honest, b"x"]
    watch.start()
    watch.step()
    watch.checkpointer.check_sound()
    assert not (tmp_path / "ledger.broken").exists()


def test_a_damaged_note_of_what_was_found_only_names_the_heads_anew(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.step()
    roll_back(watch)
    (tmp_path / "ledger.broken").write_bytes(b"{")
    watch.start()
    with pytest.raises(IntegrityError):
        watch.step()
    assert watch.checkpointer.broken is not None
    assert watch.checkpointer.broken.shown.size == 8


def test_a_root_that_is_no_hash_is_refused() -> None:
    watch = Watch()
    watch.step()

    async def head() -> TreeHead:
        return TreeHead("ledger.example", 11, b"short")

    watch.ledger.head = head  # type: ignore[method-assign]
    with pytest.raises(IntegrityError):
        watch.step()
