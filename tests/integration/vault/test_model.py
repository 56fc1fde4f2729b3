"""Random operations on mailboxes, beside a model of dictionaries that can't be wrong."""

import random
from dataclasses import dataclass, field

import pytest
from tests.integration.vault.conftest import MX, STEWARD, Person, RunVault, Vault, message, seen

from postkeep.base.ids import new_id
from postkeep.services.vault import api

TENANT = new_id()
STEPS = 80
BOXES = ("inbox", "archive", "trash")
FLAGS = ("\\Seen", "\\Deleted", "\\Flagged", "One", "Two")


@dataclass
class ModelMessage:
    body: bytes
    size: int
    flags: frozenset[str]


@dataclass
class ModelBox:
    next_uid: int = 1
    messages: dict[int, ModelMessage] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    known_modseq: int = 0
    known: dict[int, ModelMessage] = field(default_factory=dict)
    """What a client that synchronises now and then believes."""


class Simulation:
    """One person's mailboxes, and what they should hold."""

    def __init__(self, vault: Vault, person: Person, seed: int) -> None:
        self.vault = vault
        self.person = person
        self.random = random.Random(seed)
        self.boxes = {role: ModelBox() for role in BOXES}
        self.ids: dict[str, bytes] = {}

    async def run(self) -> None:
        self.ids = {role: box.id for role, box in (await self.vault.boxes(self.person)).items()}
        acts = (self.deposit, self.store, self.expunge, self.copy, self.follow, self.tidy)
        weights = (3, 3, 2, 2, 2, 1)
        for _ in range(STEPS):
            (act,) = self.random.choices(acts, weights)
            await act(self.random.choice(BOXES))
        for role in BOXES:
            await self.follow(role)
            await self.compare(role)

    def some_uids(self, box: ModelBox) -> list[tuple[int, int]]:
        low = self.random.randint(1, max(1, box.next_uid))
        return [(low, low + self.random.randint(0, 6)), (self.random.randint(1, 40),) * 2]

    def within(self, box: ModelBox, ranges: list[tuple[int, int]]) -> list[int]:
        return sorted(uid for uid in box.messages if any(low <= uid <= high for low, high in ranges))

    async def deposit(self, role: str) -> None:
        box = self.boxes[role]
        for _ in range(self.random.randint(1, 4)):
            flags = frozenset(self.random.sample(FLAGS, self.random.randint(0, 2)))
            placement = self.person.placement(role, flags=tuple(flags))
            deposit = message(TENANT, [placement], size=self.random.randint(1, 500))
            batch = api.DepositBatch([deposit], self.person.epochs)
            (result,) = (await self.vault.call("deposit", MX, batch)).results
            assert result.placed[0].uid == box.next_uid
            box.messages[box.next_uid] = ModelMessage(deposit.body, deposit.size, flags)
            box.next_uid += 1

    async def store(self, role: str) -> None:
        box, ranges = self.boxes[role], self.some_uids(self.boxes[role])
        mode = self.random.choice(("add", "remove", "replace"))
        flags = frozenset(self.random.sample(FLAGS, self.random.randint(0, 3)))
        since = self.random.choice((None, box.known_modseq))
        before = {row.uid: row.modseq for row in (await self.vault.sync(self.person, self.ids[role])).rows}
        request = api.StoreFlags(self.person.principal, self.ids[role], ranges, mode, tuple(flags), since)
        stored = await self.vault.call("store_flags", self.person.grant, request)
        uids = self.within(box, ranges)
        refused = [uid for uid in uids if since is not None and before[uid] > since]
        assert stored.modified == refused
        assert [row.uid for row in seen(stored.columns)] == [uid for uid in uids if uid not in refused]
        for uid in set(uids) - set(refused):
            now = box.messages[uid].flags
            new = {"add": now | flags, "remove": now - flags, "replace": flags}[mode]
            box.messages[uid] = ModelMessage(box.messages[uid].body, box.messages[uid].size, new)
        assert {row.uid: frozenset(row.flags) for row in seen(stored.columns)} == {
            row.uid: box.messages[row.uid].flags for row in seen(stored.columns)
        }

    async def expunge(self, role: str) -> None:
        box = self.boxes[role]
        ranges = self.random.choice((None, self.some_uids(box)))
        request = api.Expunge(self.person.principal, self.ids[role], ranges)
        gone = await self.vault.call("expunge", self.person.grant, request)
        inside = sorted(box.messages) if ranges is None else self.within(box, ranges)
        expected = [uid for uid in inside if "\\Deleted" in box.messages[uid].flags]
        assert gone.uids == expected
        for uid in expected:
            del box.messages[uid]
            box.gone.add(uid)

    async def copy(self, role: str) -> None:
        box, target = self.boxes[role], self.random.choice(BOXES)
        ranges, move = self.some_uids(box), self.random.random() < 0.5
        uids = self.within(box, ranges)
        request = api.CopyMessages(self.person.principal, self.ids[role], self.ids[target], ranges, move)
        copied = await self.vault.call("copy", self.person.grant, request)
        other = self.boxes[target]
        assert copied.pairs == [(uid, other.next_uid + n) for n, uid in enumerate(uids)]
        for uid, new_uid in copied.pairs:
            other.messages[new_uid] = box.messages[uid]
            other.next_uid = new_uid + 1
        if move:
            for uid in uids:
                del box.messages[uid]
                box.gone.add(uid)

    async def tidy(self, _role: str) -> None:
        await self.vault.call("maintain", STEWARD, api.Maintain(0.2))

    async def follow(self, role: str) -> None:
        """Synchronise as a client with CONDSTORE and QRESYNC does, and end up knowing the truth."""
        box = self.boxes[role]
        page = await self.vault.sync(self.person, self.ids[role], box.known_modseq)
        vanished = {uid for low, high in page.vanished for uid in range(low, high + 1)}
        if box.known_modseq == 0:
            box.known = {}
        assert vanished <= box.gone
        for uid in vanished:
            box.known.pop(uid, None)
        for row in page.rows:
            box.known[row.uid] = ModelMessage(row.body, row.size, frozenset(row.flags))
            assert row.modseq > box.known_modseq
        box.known_modseq = page.mailbox.highest_modseq
        assert box.known == box.messages

    async def compare(self, role: str) -> None:
        box, row = self.boxes[role], (await self.vault.boxes(self.person))[role]
        messages = box.messages.values()
        assert (row.uid_next, row.messages, row.size) == (
            box.next_uid,
            len(messages),
            sum(item.size for item in messages),
        )
        assert row.unseen == sum("\\Seen" not in item.flags for item in messages)
        assert row.deleted == sum("\\Deleted" in item.flags for item in messages)
        everything = api.FetchSummaries(self.person.principal, self.ids[role], [(1, 10_000)])
        summaries = (await self.vault.call("summaries", self.person.grant, everything)).summaries
        assert {item.uid: item.body for item in summaries} == {
            uid: item.body for uid, item in box.messages.items()
        }


@pytest.mark.parametrize("seed", range(4))
def test_mailboxes_behave_like_the_model_whatever_is_done_to_them(run_vault: RunVault, seed: int) -> None:
    async def job(vault: Vault) -> None:
        await Simulation(vault, Person(TENANT), seed).run()

    run_vault(job)
