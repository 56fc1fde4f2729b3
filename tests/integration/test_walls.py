"""Three walls per read: the ticket (who, why), the key (can it be opened), the ledger (is it recorded).

Each is a process of its own and refuses on its own. Each test takes one wall away, by giving it to an
attacker, and expects the other two to hold (TM-4, TM-5, TM-6, TM-7). Cross rule 1 of the acceptance.
"""

import asyncio
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.imap_world import ALICE, Person, World, run, running
from tests.warrants import category_warrant, mail_warrant, person_warrant

from postkeep.base.errors import IntegrityError, PostkeepError, RefusedError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.crypto.epoch import EpochReader, open_seed
from postkeep.crypto.hpke import PrivateKey, new_private_seeds
from postkeep.crypto.message import unwrap_key
from postkeep.model.warrant import Unit, Warrant
from postkeep.services.kms import api as kms
from postkeep.services.kms.client import KmsClient
from postkeep.services.vault import api as vault
from postkeep.services.vault import destruction_api as orders
from postkeep.services.vault import rows_api
from postkeep.services.vault.client import VaultClient
from postkeep.tickets.mint import Mint

SECRET = b"the merger is on the fourteenth"
MESSAGE = b"From: b@example.net\r\nSubject: " + SECRET + b"\r\n\r\n" + SECRET + b"\r\n"


class Attacker:
    """A caller with the imap module's genuine identity, and whatever ticket the test gives it."""

    def __init__(self, world: World, person: Person, mint: Mint) -> None:
        self.person = person.key
        self.session = new_id()
        self.ticket = mint.user(
            "imap",
            world.identity.instance,
            world.identity.thumbprint,
            tenant=self.person.tenant,
            principal=self.person.principal,
            session=self.session,
        )[1]
        self.vault = VaultClient(world.link(world.identity, "vault"))
        self.kms = KmsClient(world.link(world.identity, "kms"))

    async def mailboxes(self) -> dict[str, bytes]:
        """List the mailboxes by role."""
        listed = await self.vault.mailboxes(vault.ListMailboxes(self.person.principal), ticket=self.ticket)
        return {box.role: box.id for box in listed.mailboxes}

    async def uids(self, mailbox: bytes) -> list[int]:
        """List the messages of a mailbox."""
        request = rows_api.FetchRows(self.person.principal, mailbox, [(1, 2**32 - 1)])
        rows = await self.vault.rows(request, ticket=self.ticket)
        return [uid for (uid,) in struct.iter_unpack("<I", rows.uids)]

    async def ciphertext(self) -> tuple[vault.SealedContent, vault.EpochRow]:
        """Fetch the first message of the INBOX and its epoch, sealed."""
        inbox = (await self.mailboxes())["inbox"]
        wanted = vault.FetchContent(self.person.principal, inbox, [vault.Range(1)])
        (part,) = (await self.vault.content(wanted, ticket=self.ticket)).parts
        epochs = vault.FetchEpochs(self.person.principal, [part.epoch])
        (epoch,) = (await self.vault.epochs(epochs, ticket=self.ticket)).epochs
        return part, epoch

    async def open(self, epoch: vault.EpochRow) -> kms.OpenedEpoch:
        request = kms.OpenEpochs(self.person.principal, [kms.SealedEpoch(epoch.epoch, epoch.sealed)])
        return (await self.kms.open_epochs(request, ticket=self.ticket)).epochs[0]


def everything(directory: Path) -> Iterator[bytes]:
    for path in directory.rglob("*"):
        if path.is_file():
            yield path.read_bytes()


def files_of_kms(directory: Path) -> list[bytes]:
    """The key service's files: the root key and the destructible halves of all keys."""
    found = [path.read_bytes() for path in (directory / "root.key", *directory.glob("*keys*.slots"))]
    assert len(found) > 1
    return found


def test_without_the_ticket_wall_keys_are_given_and_mail_is_read_only_on_record(
    dsn: str, tmp_path: Path
) -> None:
    """An authority gone over mints what it likes: every use stands in the ledger, under the victim's name."""

    async def main() -> None:
        async with running(dsn, tmp_path) as world:
            alice = await world.person(ALICE)
            await world.deliver(alice, MESSAGE)
            attacker = Attacker(world, alice, world.mint)
            _, epoch = await attacker.ciphertext()
            await attacker.open(epoch)
            entries = b"".join(everything(tmp_path / "ledger"))
            for event in (b'"mail.read"', b'"key.release"'):
                assert event in entries
            assert attacker.session.hex().encode() in entries
            assert alice.key.principal.hex().encode() in entries

    run(main)


def test_a_ticket_that_the_authority_did_not_sign_opens_neither_vault_nor_kms(
    dsn: str, tmp_path: Path
) -> None:
    async def main() -> None:
        async with running(dsn, tmp_path) as world:
            alice = await world.person(ALICE)
            await world.deliver(alice, MESSAGE)
            forger = Attacker(world, alice, Mint(Ed25519PrivateKey.generate().sign))
            with pytest.raises(RefusedError):
                await forger.ciphertext()
            with pytest.raises(RefusedError):
                await forger.open(vault.EpochRow(new_id(), b"\x01" * 1173))

    run(main)


def test_without_the_key_wall_there_is_nothing_to_open_and_with_all_of_the_vault_nothing_to_read(
    dsn: str, tmp_path: Path
) -> None:
    """All that the vault has, in the hands of someone who has no kms: ciphertext, and no way in."""

    async def main() -> None:
        async with running(dsn, tmp_path) as world:
            alice = await world.person(ALICE)
            await world.deliver(alice, MESSAGE)
            part, epoch = await Attacker(world, alice, world.mint).ciphertext()
            assert SECRET not in part.data
            own_key = PrivateKey(new_private_seeds())
            with pytest.raises(IntegrityError):
                open_seed(own_key, alice.key.tenant, alice.key.principal, epoch.epoch, epoch.sealed)
            with pytest.raises(RefusedError):
                EpochReader(epoch.epoch, {}).wrap_key("content", part.index)
            for guess in (part.wraps[:32], part.head[:32], epoch.sealed[-32:], bytes(32)):
                with pytest.raises(IntegrityError):
                    unwrap_key(
                        "content", part.wraps, guess, alice.key.tenant, part.body,
                        alice.key.principal, part.epoch, part.index,
                    )  # fmt: skip
            assert not any(SECRET in data for data in everything(tmp_path))

    run(main)


def test_kms_alone_holds_keys_and_not_one_sealed_byte_of_mail(dsn: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(dsn, tmp_path) as world:
            alice = await world.person(ALICE)
            await world.deliver(alice, MESSAGE)
            part, _ = await Attacker(world, alice, world.mint).ciphertext()
            assert part.data[:64] not in b"".join(files_of_kms(tmp_path))
            # And it can't fetch any: no method of the vault lists kms among its callers.
            kms_module = VaultClient(world.link(world.module("kms"), "vault"))
            with pytest.raises(PostkeepError):
                await kms_module.mailboxes(vault.ListMailboxes(alice.key.principal))

    run(main)


def test_without_the_ledger_wall_nothing_is_released_and_nothing_is_read(dsn: str, tmp_path: Path) -> None:
    """With the ledger gone, a genuine ticket gets neither keys nor mail."""

    async def main() -> None:
        async with running(dsn, tmp_path) as world:
            alice = await world.person(ALICE)
            await world.deliver(alice, MESSAGE)
            owner = Attacker(world, alice, world.mint)
            _, epoch = await owner.ciphertext()
            await world.servers["ledger"].close()
            with pytest.raises(UnavailableError):
                await asyncio.wait_for(owner.ciphertext(), 5)
            with pytest.raises(UnavailableError):
                await asyncio.wait_for(owner.open(epoch), 5)

    run(main)


def test_the_ledger_names_nobody_and_quotes_nothing(dsn: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(dsn, tmp_path) as world:
            alice = await world.person(ALICE)
            await world.deliver(alice, MESSAGE)
            attacker = Attacker(world, alice, world.mint)
            await attacker.open((await attacker.ciphertext())[1])
            entries = b"".join(everything(tmp_path / "ledger"))
            assert b"mail.read" in entries
            assert ALICE.partition("@")[0].encode() not in entries
            assert SECRET not in entries
            assert json.dumps(SECRET.decode())[1:-1].encode() not in entries

    run(main)


def test_a_grant_for_one_message_destroys_that_message_and_nothing_else(dsn: str, tmp_path: Path) -> None:
    """A steward gone over has a grant that people gave for one message: that is all it is good for."""

    async def main() -> None:
        async with running(dsn, tmp_path) as world:
            alice = await world.person(ALICE)
            for _ in range(3):
                await world.deliver(alice, MESSAGE)
            reader = Attacker(world, alice, world.mint)
            boxes = await reader.mailboxes()
            tenant, person = alice.key.tenant, alice.key.principal
            message = mail_warrant(tenant, person, boxes["inbox"], [(2, 2)])
            steward = world.module("steward")
            grant = world.mint.grant(
                "steward",
                steward.instance,
                steward.thumbprint,
                kind="destroy",
                request=new_id(),
                subject=message.digest(),
                tenant=tenant,
                principal=person,
            )[1]
            client = VaultClient(world.link(steward, "vault"))
            wider: list[tuple[Any, Any, Warrant]] = [
                *(
                    (client.destroy, orders.Destroy, warrant)
                    for warrant in (
                        mail_warrant(tenant, person, boxes["inbox"], [(1, 3)]),
                        mail_warrant(tenant, person, boxes["sent"], [(2, 2)]),
                        mail_warrant(tenant, person, boxes["inbox"], [(2, 2)], Unit.MAILBOX),
                    )
                ),
                (client.remove_principal, vault.RemovePrincipal, person_warrant(tenant, person)),
                (client.remove_principal, vault.RemovePrincipal, message),
                (client.remove_tenant, vault.RemoveTenant, message),
                (client.destroy_category, orders.DestroyCategory, category_warrant(tenant, "content")),
                (client.destroy_category, orders.DestroyCategory, message),
            ]
            for method, request, warrant in wider:
                with pytest.raises(RefusedError):
                    await method(request(warrant), ticket=grant)
            removed = await client.destroy(orders.Destroy(message), ticket=grant)
            assert removed.messages == 1
            assert await reader.uids(boxes["inbox"]) == [1, 3]

    run(main)
