"""Two walls between colleagues, each held alone: rights in the vault, wraps in kms (IM-6, T1, T6, TM-45).

And an IMAP module that has been taken over: with the ticket of somebody who reads a shared mailbox it gets no
further than that person.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.imap_mail import PLAIN
from tests.imap_world import Person, World, running

from postkeep.base.errors import RefusedError
from postkeep.base.ids import new_id
from postkeep.services.kms.api import OpenEpochs, SealedEpoch
from postkeep.services.kms.client import KmsClient
from postkeep.services.kms.sharing_api import Share, Unshare
from postkeep.services.vault import api
from postkeep.services.vault.client import VaultClient
from postkeep.services.vault.giving import give
from postkeep.services.vault.pages_api import PutPages
from postkeep.services.vault.rights_api import GetRights, ListShared, SetRights


class Taken:
    """The IMAP module in somebody else's hands: it holds the tickets of those who are signed in."""

    def __init__(self, world: World, alice: Person, bob: Person) -> None:
        self.world, self.alice, self.bob = world, alice.key, bob.key
        self.kms = KmsClient(world.link(world.identity, "kms"))
        self.vault = VaultClient(world.link(world.identity, "vault"))
        self.alices, self.bobs = self.ticket(alice), self.ticket(bob)

    def ticket(self, person: Person) -> bytes:
        holder = self.world.identity
        return self.world.mint.user(
            "imap",
            holder.instance,
            holder.thumbprint,
            tenant=person.key.tenant,
            principal=person.key.principal,
            session=new_id(),
        )[1]

    async def look(self) -> None:
        """Find Alice's mailbox and the epoch of her mail, as she may."""
        owner = self.alice.principal
        listed = await self.vault.mailboxes(api.ListMailboxes(owner), ticket=self.alices)
        self.inbox = next(box.id for box in listed.mailboxes if box.role == "inbox")
        epochs = await self.vault.epochs(api.FetchEpochs(owner), ticket=self.alices)
        self.epoch = SealedEpoch(epochs.epochs[0].epoch, epochs.epochs[0].sealed)

    async def rights(self, letters: str) -> None:
        request = SetRights(self.alice.principal, self.inbox, self.bob.principal, letters)
        await self.vault.set_rights(request, ticket=self.alices)

    async def fetch(self, ticket: bytes) -> int:
        request = api.FetchContent(self.alice.principal, self.inbox, [api.Range(1, 0, 0)])
        return len((await self.vault.content(request, ticket=ticket)).parts)

    async def open(self, ticket: bytes) -> bool:
        request = OpenEpochs(self.alice.principal, [self.epoch])
        return bool((await self.kms.open_epochs(request, ticket=ticket)).epochs[0].chains)


def play(dsn: str, directory: Path, scenario: Callable[[Taken], Awaitable[None]]) -> None:
    async def main() -> None:
        async with running(dsn, directory) as world:
            alice, bob = await world.person("alice@example.com"), await world.person("bob@example.com")
            await world.deliver(alice, PLAIN)
            taken = Taken(world, alice, bob)
            await taken.look()
            await scenario(taken)

    asyncio.run(main())


def test_each_wall_holds_while_the_other_is_down(dsn: str, tmp_path: Path) -> None:
    async def scenario(taken: Taken) -> None:
        share = Share(taken.alice.principal, taken.bob.principal)
        # The vault lets everything through, as if its row had never been taken away: kms does not.
        await taken.rights("lr")
        assert await taken.fetch(taken.bobs) == 1
        with pytest.raises(RefusedError):
            await taken.open(taken.bobs)
        await taken.kms.share(share, ticket=taken.alices)
        assert await taken.open(taken.bobs)
        await taken.kms.unshare(Unshare(share.principal, share.reader), ticket=taken.alices)
        assert await taken.fetch(taken.bobs) == 1
        with pytest.raises(RefusedError):
            await taken.open(taken.bobs)
        # kms opens everything, as if the share stood still: the vault gives nothing sealed to open.
        await taken.kms.share(share, ticket=taken.alices)
        await taken.rights("")
        assert await taken.open(taken.bobs)
        with pytest.raises(RefusedError):
            await taken.fetch(taken.bobs)
        with pytest.raises(RefusedError):
            await taken.vault.epochs(api.FetchEpochs(taken.alice.principal), ticket=taken.bobs)

    play(dsn, tmp_path, scenario)


def test_giving_and_taking_opens_and_shuts_both(dsn: str, tmp_path: Path) -> None:
    async def scenario(taken: Taken) -> None:
        for letters, fits in (("lr", True), ("", False)):
            request = SetRights(taken.alice.principal, taken.inbox, taken.bob.principal, letters)
            await give(taken.vault, taken.kms, request, taken.alices)
            for attempt in (taken.fetch, taken.open):
                if fits:
                    assert await attempt(taken.bobs)
                else:
                    with pytest.raises(RefusedError):
                        await attempt(taken.bobs)

    play(dsn, tmp_path, scenario)


def test_a_readers_ticket_in_the_wrong_hands_gets_no_further_than_the_reader(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(taken: Taken) -> None:
        owner, bob, ticket = taken.alice.principal, taken.bob.principal, taken.bobs
        request = SetRights(owner, taken.inbox, bob, "lr")
        await give(taken.vault, taken.kms, request, taken.alices)
        vault, kms, carol = taken.vault, taken.kms, new_id()
        row = api.EpochRow(taken.epoch.epoch, b"garbage instead of her key")
        uids = [(1, 1)]
        attempts: list[Awaitable[object]] = [
            # passing it on, or widening it
            kms.share(Share(owner, carol), ticket=ticket),
            vault.set_rights(SetRights(owner, taken.inbox, bob, "lrswipkxtea"), ticket=ticket),
            vault.rights(GetRights(owner, taken.inbox), ticket=ticket),
            # harm to the owner's own reading
            vault.replace_epochs(api.ReplaceEpochs(owner, [row]), ticket=ticket),
            vault.put_pages(PutPages(owner, taken.inbox, [], []), ticket=ticket),
            vault.expunge(api.Expunge(owner, taken.inbox, uids), ticket=ticket),
            vault.store_flags(api.StoreFlags(owner, taken.inbox, uids, "add", ("\\Seen",)), ticket=ticket),
            # the rest of her mailboxes, and everything that says of them
            vault.mailboxes(api.ListMailboxes(owner), ticket=ticket),
            vault.watch(api.Watch(owner), ticket=ticket),
            vault.shared(ListShared(owner), ticket=ticket),
            vault.summaries(api.FetchSummaries(owner, new_id(), uids), ticket=ticket),
        ]
        for attempt in attempts:
            with pytest.raises(RefusedError):
                await attempt
        # Nor does sharing work backwards, or for whom it was never given.
        mirrored = OpenEpochs(bob, [taken.epoch])
        with pytest.raises(RefusedError):
            await kms.open_epochs(mirrored, ticket=taken.alices)
        carols = taken.ticket(await taken.world.person("carol@example.com"))
        for stranger in (taken.fetch, taken.open):
            with pytest.raises(RefusedError):
                await stranger(carols)

    play(dsn, tmp_path, scenario)
