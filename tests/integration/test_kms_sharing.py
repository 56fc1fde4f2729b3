"""Shared keys at a real kms: what a reader's ticket opens, through which wrap, and what it opens no more.

K5: destroyed wraps stay destroyed, whatever rows come back.
"""

import asyncio
from pathlib import Path

import pytest
from tests.kms_world import Node, running, sealed, write_epochs
from tests.warrants import person_warrant

from postkeep.base.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError
from postkeep.base.ids import new_id
from postkeep.model.audit import EventName
from postkeep.services.kms import api
from postkeep.services.kms.client import KmsClient
from postkeep.services.kms.rotation_api import ResealWork, RetireGeneration, RewrapEpochs
from postkeep.services.kms.rotation_client import RotationClient
from postkeep.services.kms.sharing_api import Share, Unshare
from postkeep.tickets.channel import Link
from postkeep.tickets.entitlements import purpose_named
from postkeep.tickets.identity import ModuleIdentity


class Office:
    """One company with Anna, whose mail it is, and colleagues, all at the same face."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.tenant, self.anna, self.bob, self.carol = (new_id() for _ in range(4))
        self.imap = node.module("imap")
        self.kms: KmsClient = node.client(self.imap)

    async def provision(self) -> api.SignedPublicKey:
        for person in (self.bob, self.carol):
            await self.node.provision(self.tenant, person)
        return await self.node.provision(self.tenant, self.anna)

    def ticket(self, person: bytes) -> bytes:
        return self.node.user(self.imap, self.tenant, person)

    async def opens(self, person: bytes, epoch: api.SealedEpoch, owner: bytes = b"") -> bool:
        """Whether an epoch opens with a person's ticket; RefusedError where kms does not even try."""
        request = api.OpenEpochs(owner or self.anna, [epoch])
        answer = await self.kms.open_epochs(request, ticket=self.ticket(person))
        return bool(answer.epochs[0].chains)

    async def share(
        self, reader: bytes, *, by: bytes = b"", manages: bool = False, until: int | None = None
    ) -> None:
        await self.kms.share(Share(self.anna, reader, manages, until), ticket=self.ticket(by or self.anna))

    async def unshare(self, reader: bytes, *, by: bytes = b"") -> None:
        await self.kms.unshare(Unshare(self.anna, reader), ticket=self.ticket(by or self.anna))

    def resealer(self) -> tuple[RotationClient, bytes]:
        steward: ModuleIdentity = self.node.module("steward")
        purpose = purpose_named("reseal")
        assert purpose is not None
        ticket = self.node.mint.operation("steward", steward.instance, steward.thumbprint, purpose)[1]
        link = Link(steward, self.node.anchors, "kms", self.node.directory / "kms.sock")
        self.node.stack.push_async_callback(link.close)
        return RotationClient(link), ticket


def test_a_reader_opens_the_owners_epochs_from_the_share_on_and_never_after(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            office = Office(node)
            key = await office.provision()
            first = sealed(write_epochs(key, 1)[0])
            with pytest.raises(RefusedError):
                await office.opens(office.bob, first)
            await office.share(office.bob)
            assert await office.opens(office.bob, first)
            with pytest.raises(RefusedError):
                await office.opens(office.carol, first)
            # The other way round nothing is shared.
            own = sealed(write_epochs(await node.provision(office.tenant, office.bob), 1)[0])
            with pytest.raises(RefusedError):
                await office.opens(office.anna, own, office.bob)

            await office.unshare(office.bob)
            with pytest.raises(RefusedError):
                await office.opens(office.bob, first)
            # What comes after is under a new generation: the owner's ticket opens both.
            again = await node.provision(office.tenant, office.anna)
            assert again.generation == key.generation + 1
            second = sealed(write_epochs(again, 1)[0])
            assert await office.opens(office.anna, first)
            assert await office.opens(office.anna, second)

            told = await node.events(EventName.KEY_SHARE, wait_for=4)
            notes = [event.note.split()[0] for event in told]
            assert notes == ["give", "given", "take", "taken"]
            assert {event.principal for event in told} == {office.anna.hex()}
            releases = await node.events(EventName.KEY_RELEASE)
            by_bob = [event for event in releases if event.actor == office.bob.hex()]
            assert [event.principal for event in by_bob] == [office.anna.hex()]

    asyncio.run(scenario())


def test_who_may_share_is_the_owner_and_whom_the_owner_lets_manage(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            office = Office(node)
            epoch = sealed(write_epochs(await office.provision(), 1)[0])
            anna, bob, carol = office.anna, office.bob, office.carol
            with pytest.raises(RefusedError):
                await office.share(carol, by=bob)
            await office.share(bob)
            for act in (office.share(carol, by=bob), office.unshare(anna, by=bob)):
                with pytest.raises(RefusedError):
                    await act
            await office.share(bob, manages=True)
            await office.share(carol, by=bob)
            assert await office.opens(carol, epoch)
            await office.unshare(carol, by=carol)  # everybody may give up what is theirs
            with pytest.raises(RefusedError):
                await office.opens(carol, epoch)
            assert await office.opens(bob, epoch)
            with pytest.raises(InvalidInputError):
                await office.share(anna)
            stranger = new_id()
            await node.provision(new_id(), stranger)
            with pytest.raises(NotFoundError):
                await office.share(stranger)  # of another company

    asyncio.run(scenario())


def test_those_who_remain_get_the_next_generation_and_lose_the_old_one_with_everybody(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            office = Office(node)
            first = sealed(write_epochs(await office.provision(), 1)[0])
            await office.share(office.bob)
            await office.share(office.carol)
            await office.unshare(office.bob)
            key = await node.provision(office.tenant, office.anna)
            second = sealed(write_epochs(key, 1)[0])
            assert await office.opens(office.carol, first)
            assert await office.opens(office.carol, second)
            with pytest.raises(RefusedError):
                await office.opens(office.bob, second)

            client, ticket = office.resealer()
            fresh = await client.rewrap_epochs(RewrapEpochs(office.anna, [first], left=0), ticket=ticket)
            assert (await client.retire_generation(RetireGeneration(office.anna), ticket=ticket)).retired
            await node.kms.rotations.advance()
            assert not await office.opens(office.carol, first)  # nobody's wrap of it is left
            assert await office.opens(office.carol, fresh.epochs[0])
            async with node.pool() as pool:
                generations = await pool.fetch("SELECT DISTINCT generation FROM share_wraps")
            assert [row[0] for row in generations] == [key.generation]

    asyncio.run(scenario())


def test_a_reader_taken_away_in_the_middle_of_a_rotation_is_followed_by_one_more(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            office = Office(node)
            await office.provision()
            await office.share(office.bob)
            await office.share(office.carol)
            await office.unshare(office.bob)
            await office.unshare(office.carol)
            assert (await node.provision(office.tenant, office.anna)).generation == 2
            client, ticket = office.resealer()
            assert (await client.retire_generation(RetireGeneration(office.anna), ticket=ticket)).retired
            await node.kms.rotations.advance()
            work = await client.reseal_work(ResealWork(0, 10), ticket=ticket)
            assert [made.key.generation for made in work.rotations] == [3]

    asyncio.run(scenario())


def test_a_share_with_an_end_opens_nothing_from_then_on_and_is_erased(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            office = Office(node)
            epoch = sealed(write_epochs(await office.provision(), 1)[0])
            await office.share(office.bob, until=2**52)
            assert await office.opens(office.bob, epoch)
            await office.share(office.bob, until=1)  # long over
            with pytest.raises(RefusedError):
                await office.opens(office.bob, epoch)
            client, ticket = office.resealer()
            work = await client.reseal_work(ResealWork(0, 10), ticket=ticket)
            assert [made.key.generation for made in work.rotations] == [2]
            async with node.pool() as pool:
                assert await pool.fetchval("SELECT count(*) FROM shares") == 0
                assert await pool.fetchval("SELECT count(*) FROM share_wraps") == 0

    asyncio.run(scenario())


def test_rows_put_back_open_nothing_when_their_slots_are_erased(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            office = Office(node)
            epoch = sealed(write_epochs(await office.provision(), 1)[0])
            await office.share(office.bob)
            async with node.pool() as pool:
                tables = ("shares", "share_wraps")
                backup = {table: await pool.fetch(f"SELECT * FROM {table}") for table in tables}
                await office.unshare(office.bob)
                for table, rows in backup.items():
                    async with pool.acquire() as connection:
                        await connection.copy_records_to_table(table, records=[tuple(row) for row in rows])
            with pytest.raises(RefusedError):
                await office.opens(office.bob, epoch)

    asyncio.run(scenario())


def test_shares_end_with_the_owners_keys_and_with_the_readers(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            office = Office(node)
            epoch = sealed(write_epochs(await office.provision(), 1)[0])
            await office.share(office.bob)
            await office.share(office.carol)
            async with node.pool() as pool:
                slots = {
                    row["reader"]: row["slot"]
                    for row in await pool.fetch("SELECT reader, slot FROM share_wraps")
                }
            for person, gone in ((office.bob, office.bob), (office.anna, office.carol)):
                warrant = person_warrant(office.tenant, person)
                steward = node.module("steward")
                await node.client(steward).shred(api.Shred(warrant), ticket=node.destroyer(steward, warrant))
                assert node.kms.slots.read_many([slots[gone]]) == [None]
            with pytest.raises((RefusedError, NotFoundError)):
                await office.opens(office.carol, epoch)

    asyncio.run(scenario())


def test_a_groups_keys_are_managed_by_one_person_from_their_first_moment_and_staff_adds_nobody(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            office = Office(node)
            await office.provision()
            steward, group = node.module("steward"), new_id()
            client, staff = node.client(steward), node.staff(steward)
            asked = api.ProvisionPrincipal(office.tenant, group, manager=office.bob)
            key = await client.provision_principal(asked, ticket=staff)
            assert await client.provision_principal(asked, ticket=staff) == key
            epoch = sealed(write_epochs(key, 1)[0])
            assert await office.opens(office.bob, epoch, group)
            other = api.ProvisionPrincipal(office.tenant, group, manager=office.carol)
            with pytest.raises(ConflictError):
                await client.provision_principal(other, ticket=staff)
            with pytest.raises(ConflictError):  # nor the keys of a person
                await client.provision_principal(
                    api.ProvisionPrincipal(office.tenant, office.anna, manager=office.carol), ticket=staff
                )
            await office.kms.share(Share(group, office.carol), ticket=office.ticket(office.bob))
            assert await office.opens(office.carol, epoch, group)

    asyncio.run(scenario())
