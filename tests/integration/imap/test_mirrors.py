"""Several clients change one mailbox at once; what each was told adds up to what is there."""

import asyncio
import random
from collections.abc import Callable

from tests.imap_client import ImapClient, Refused, fetched, signed_in
from tests.imap_mail import PLAIN
from tests.imap_world import Person, Scenario, World

from postkeep.protocols.imap.client import Response

CLIENTS, STEPS = 3, 40


class Mirror:
    """A client that believes just what it is told: UIDs and flags by message number."""

    def __init__(self, client: ImapClient, rng: random.Random) -> None:
        self.client = client
        self.rng = rng
        self.messages: list[tuple[int, frozenset[str]] | None] = []

    async def begin(self) -> None:
        await self.run("SELECT INBOX")
        await self.learn()

    async def learn(self) -> None:
        """Ask about messages that have only been announced."""
        if None in self.messages:
            await self.run("FETCH 1:* (UID FLAGS)")

    async def run(self, command: str) -> None:
        try:
            answers = await self.client.line(command)
        except Refused as refused:
            if refused.response.code != "EXPUNGEISSUED":
                raise
            answers = list(refused.before)
        for answer in answers:
            self.hear(answer, command)

    def hear(self, answer: Response, command: str) -> None:
        if answer.kind == "EXPUNGE":
            assert not command.startswith(("FETCH", "STORE", "SEARCH")), command
            del self.messages[answer.number - 1]
        elif answer.kind == "EXISTS":
            assert answer.number >= len(self.messages)
            self.messages += [None] * (answer.number - len(self.messages))
        elif answer.kind == "FETCH":
            items = answer.items()
            flags = items.get("FLAGS")
            if isinstance(flags, list) and "UID" in items:
                known = self.messages[answer.number - 1]
                uid = int(str(items["UID"]))
                assert known is None or known[0] == uid
                seen = frozenset(str(flag) for flag in flags) - {"\\Recent"}
                self.messages[answer.number - 1] = (uid, seen)

    async def step(self) -> None:
        count = len(self.messages)
        number = self.rng.randint(1, max(count, 1))
        flag = self.rng.choice(["\\Deleted", "\\Seen", "$A", "$B"])
        choices = [
            f"STORE {number} +FLAGS ({flag})",
            f"STORE {number}:* -FLAGS ({flag})",
            f"STORE {number} FLAGS.SILENT ({flag})",
            "EXPUNGE",
            "NOOP",
            "SEARCH UNSEEN",
            f"FETCH {number} (UID FLAGS)",
            "COPY 1 INBOX",
            f"MOVE {number} Archive",
            f"UID STORE 1:* +FLAGS.SILENT ({flag})" if self.rng.random() < 0.2 else "CHECK",
        ]
        command = self.rng.choice(choices)
        if count < 3:
            command = "UID COPY 1:* INBOX" if count else "NOOP"
        if "SILENT" in command:
            await self.run(command)
            command = "FETCH 1:* (UID FLAGS)"
        await self.run(command)
        await self.learn()


def test_what_clients_are_told_adds_up(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *[PLAIN] * 12)
        mirrors = [Mirror(await signed_in(world), random.Random(seed)) for seed in range(CLIENTS)]
        for mirror in mirrors:
            await mirror.begin()

        async def live(mirror: Mirror) -> None:
            for number in range(STEPS):
                await mirror.step()
                if number % 10 == 5:
                    await world.deliver(alice, PLAIN)

        await asyncio.gather(*(live(mirror) for mirror in mirrors))
        for mirror in mirrors:
            await mirror.run("NOOP")
            await mirror.learn()
        judge = await signed_in(world, "INBOX")
        truth = [
            (int(str(items["UID"])), frozenset(map(str, _flags(items))) - {"\\Recent"})
            for _, items in sorted(fetched(await judge.line("FETCH 1:* (UID FLAGS)")).items())
        ]
        assert truth
        for mirror in mirrors:
            assert mirror.messages == truth
            await mirror.client.close()
        await judge.close()

    in_world(scenario)


def _flags(items: dict[str, object]) -> list[object]:
    flags = items["FLAGS"]
    assert isinstance(flags, list)
    return flags
