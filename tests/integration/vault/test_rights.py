"""Rights on mailboxes of others: every method against every letter, and what the owner finds in the ledger.

IM-6, T1: the vault's wall alone, as no key is at play here.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.integration.vault.conftest import (
    START_SECONDS,
    STEWARD,
    Person,
    RunVault,
    Vault,
    grant,
    message,
)

from postkeep.base.errors import ConflictError, InvalidInputError, NotFoundError, PostkeepError, RefusedError
from postkeep.base.ids import new_id
from postkeep.services.vault import api
from postkeep.services.vault.needed_rights import NEEDS
from postkeep.services.vault.rights_api import (
    LETTERS,
    GetRights,
    ListShared,
    OpenShared,
    Right,
    RightsList,
    RightsSet,
    SetRights,
)
from postkeep.tickets.rules import RULES

NOW_MS = START_SECONDS * 1000


class House:
    """Anna with mail, Bob who is given rights on it."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.tenant = new_id()
        self.anna, self.bob = Person(self.tenant), Person(self.tenant)
        self.box = self.other = b""

    async def furnish(self) -> None:
        await self.vault.deliver(self.anna, 3)
        await self.vault.boxes(self.bob)
        changes = [api.MailboxChange(new_id(), create=True, name=self.name()) for _ in range(1)]
        version = (await self.list()).version
        request = api.ChangeMailboxes(self.anna.principal, version, changes, self.anna.epochs)
        await self.vault.call("change_mailboxes", self.anna.grant, request)
        self.box, self.other = (await self.vault.boxes(self.anna))["inbox"].id, changes[0].id

    def name(self) -> api.SealedName:
        return api.SealedName(self.anna.epoch, 1, b"sealed name")

    async def list(self) -> api.MailboxList:
        found = await self.vault.call("mailboxes", self.anna.grant, api.ListMailboxes(self.anna.principal))
        assert isinstance(found, api.MailboxList)
        return found

    async def give(
        self, letters: str, *, box: bytes | None = None, until: int | None = None, by: Person | None = None
    ) -> RightsSet:
        mailbox = self.box if box is None else box
        request = SetRights(self.anna.principal, mailbox, self.bob.principal, letters, until)
        answer = await self.vault.call("set_rights", (by or self.anna).grant, request)
        assert isinstance(answer, RightsSet)
        return answer

    async def allowed(self, method: str, request: msgspec.Struct) -> bool:
        """Whether Bob's call gets past the rights; what the handler makes of it is another matter."""
        try:
            await self.vault.call(method, self.bob.grant, request)
        except (NotFoundError, InvalidInputError, ConflictError):
            return True
        except RefusedError as error:
            if error.code != "refused.rights":
                raise
            return False
        return True


Case = tuple[str, Callable[[House], Any], str]


def _read(kind: Any, *more: Any) -> Callable[[House], Any]:
    return lambda house: kind(house.anna.principal, house.box, *more)


def _store(mode: str, *flags: str) -> Callable[[House], Any]:
    return lambda house: api.StoreFlags(house.anna.principal, house.box, [(1, 1)], mode, flags)


def _append(*flags: str) -> Callable[[House], Any]:
    def build(house: House) -> api.Append:
        placement = house.anna.placement(mailbox=house.box, flags=flags)
        return api.Append([message(house.tenant, [placement])], house.anna.epochs)

    return build


def _copy(*, move: bool) -> Callable[[House], Any]:
    return lambda house: api.CopyMessages(house.anna.principal, house.box, house.box, [(2, 2)], move)


CASES: tuple[Case, ...] = (
    ("summaries", _read(api.FetchSummaries, [(1, 9)]), "r"),
    ("content", _read(api.FetchContent, [api.Range(1, 0, 0)]), "r"),
    ("epochs", lambda house: api.FetchEpochs(house.anna.principal, None), "r"),
    ("quota", lambda house: api.GetQuota(house.anna.principal), "r"),
    ("store_flags", _store("add", "\\Seen"), "s"),
    ("store_flags", _store("remove", "\\Flagged"), "w"),
    ("store_flags", _store("add", "Later"), "w"),
    ("store_flags", _store("add", "\\Deleted"), "t"),
    ("store_flags", _store("add", "\\Seen", "\\Deleted"), "st"),
    ("store_flags", _store("replace", "\\Seen"), "swt"),
    ("expunge", _read(api.Expunge, [(1, 1)]), "e"),
    ("copy", _copy(move=False), "ri"),
    ("copy", _copy(move=True), "irte"),
    ("append", _append(), "i"),
    ("append", _append("\\Seen", "\\Flagged"), "isw"),
    ("rights", lambda house: GetRights(house.anna.principal, house.box), "a"),
    (
        "set_rights",
        lambda house: SetRights(house.anna.principal, house.box, new_id(), "l"),
        "a",
    ),
)


def test_each_method_takes_exactly_its_letters(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        house = House(vault)
        await house.furnish()
        for method, build, letters in CASES:
            assert not await house.allowed(method, build(house)), f"{method} without any right"
            await house.give(letters)
            assert await house.allowed(method, build(house)), f"{method} with {letters}"
            for letter in letters:
                await house.give(LETTERS.replace(letter, ""))
                assert not await house.allowed(method, build(house)), f"{method} without {letter}"
            await house.give(LETTERS, box=house.other)
            await house.give("")
            if method not in {"epochs", "quota"}:  # those are of the owner's mailboxes together
                assert not await house.allowed(method, build(house)), f"{method} with rights elsewhere"
            await house.give("", box=house.other)

    run_vault(job)


def test_mailboxes_are_made_with_k_on_all_and_removed_with_x_on_one(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        house = House(vault)
        await house.furnish()

        async def change(*changes: api.MailboxChange) -> bool:
            version = (await house.list()).version
            request = api.ChangeMailboxes(house.anna.principal, version, list(changes), house.anna.epochs)
            return await house.allowed("change_mailboxes", request)

        made = new_id()
        create = api.MailboxChange(made, create=True, name=house.name())
        await house.give("k")  # on one mailbox: where a new one would hang is not for the vault to know
        assert not await change(create)
        await house.give("k", box=b"")
        await house.give("")
        assert await change(create)
        assert made in {box.id for box in (await house.list()).mailboxes}
        assert not await change(api.MailboxChange(made, name=house.name()))
        await house.give("kx", box=b"")
        assert await change(api.MailboxChange(made, name=house.name()))
        await house.give(LETTERS.replace("x", ""), box=made)  # its own row counts before the one for all
        assert not await change(api.MailboxChange(made, delete=True))
        await house.give(LETTERS, box=b"")
        for own in (
            api.MailboxChange(house.other, subscribed=False),
            api.MailboxChange(house.other, role="archive"),
        ):
            assert not await change(own)
        assert await change(api.MailboxChange(house.other, delete=True))
        assert house.other not in {box.id for box in (await house.list()).mailboxes}

    run_vault(job)


def test_every_method_that_may_name_another_is_guarded_and_the_rest_are_not_shared() -> None:
    shared = {rule.method for rule in RULES if rule.shared and rule.method.startswith("vault.")}
    assert shared <= NEEDS.keys()
    # What would let a reader harm the owner's own reading, or look beyond mailboxes, is one's own only.
    own = {"vault.replace_epochs", "vault.put_pages", "vault.mailboxes", "vault.watch", "vault.submit"}
    assert not own & shared


def test_rights_end_with_their_date(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        house = House(vault)
        await house.furnish()
        read = api.FetchSummaries(house.anna.principal, house.box, [(1, 9)])
        await house.give("lr", until=NOW_MS + 1)
        assert await house.allowed("summaries", read)
        await house.give("lr", until=NOW_MS)
        assert not await house.allowed("summaries", read)
        listed = await vault.call("shared", house.bob.grant, ListShared(house.bob.principal))
        assert listed.mailboxes == []

    run_vault(job)


def test_a_reader_is_shown_what_is_shared_and_told_of_changes_until_it_is_taken_back(
    run_vault: RunVault,
) -> None:
    async def job(vault: Vault) -> None:
        house = House(vault)
        await house.furnish()
        bob = house.bob
        await house.give("lrs")
        listed = await vault.call("shared", bob.grant, ListShared(bob.principal))
        assert [(box.owner, box.row.id, box.letters) for box in listed.mailboxes] == [
            (house.anna.principal, house.box, "lrs")
        ]

        async def next_changes() -> list[tuple[bytes, bytes]]:
            asked = api.NextChanges(0.05)
            changes = (await vault.call("next_changes", bob.grant, asked)).changes
            return [(change.principal, change.mailbox) for change in changes]

        await vault.call("watch", bob.grant, api.Watch(bob.principal))
        await vault.deliver(house.anna)
        await vault.deliver(house.anna, mailbox=house.other)
        assert await next_changes() == [(bob.principal, house.box)]
        await house.give("")
        assert await next_changes() == [(bob.principal, b"")]
        await vault.deliver(house.anna)
        assert await next_changes() == []

    run_vault(job)


def test_the_owner_finds_who_has_read_what_and_who_was_given_what(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        house = House(vault)
        await house.furnish()
        await house.give("lr")
        read = api.FetchSummaries(house.anna.principal, house.box, [(1, 9)])
        await vault.call("summaries", house.bob.grant, read)
        await asyncio.sleep(0)
        reads = [event for event in await vault.events("mail.read") if event.method == "vault.test"]
        by_bob = [event for event in reads if event.actor]
        assert [(event.principal, event.actor, event.count) for event in by_bob] == [
            (house.anna.principal.hex(), house.bob.principal.hex(), 3)
        ]
        given = await vault.events("mail.share")
        assert [(event.principal, event.actor, event.note) for event in given] == [
            (house.anna.principal.hex(), "", f"{house.bob.principal.hex()} lr")
        ]

    run_vault(job)


def test_rights_are_refused_that_make_no_sense(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        house = House(vault)
        await house.furnish()
        anna = house.anna.principal
        wrong: list[tuple[SetRights, type[PostkeepError]]] = [
            (SetRights(anna, house.box, anna, "l"), InvalidInputError),
            (SetRights(anna, house.box, new_id(), "lz"), InvalidInputError),
            (SetRights(anna, new_id(), new_id(), "l"), NotFoundError),
            (SetRights(anna, house.box, new_id(), "l", 0), InvalidInputError),
        ]
        for request, error in wrong:
            with pytest.raises(error):
                await vault.call("set_rights", house.anna.grant, request)
        # A mailbox of the reader's own, under the owner's name.
        own = (await vault.boxes(house.bob))["inbox"].id
        with pytest.raises(NotFoundError):
            await vault.call("set_rights", house.anna.grant, SetRights(anna, own, new_id(), "l"))

    run_vault(job)


def test_a_groups_mailbox_is_opened_once_for_one_manager(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        tenant, group = new_id(), Person(new_id())
        tenant = group.tenant
        bob, carol = Person(tenant), Person(tenant)
        opened = OpenShared(tenant, group.principal, bob.principal)
        for _ in range(2):
            await vault.call("open_shared", STEWARD, opened)
        with pytest.raises(ConflictError):
            await vault.call("open_shared", STEWARD, OpenShared(tenant, group.principal, carol.principal))
        listed = await vault.call("shared", bob.grant, ListShared(bob.principal))
        inbox = next(box for box in listed.mailboxes if box.row.role == "inbox")
        assert inbox.letters == LETTERS
        mailbox = inbox.row.id
        give = SetRights(group.principal, mailbox, carol.principal, "lr")
        await vault.call("set_rights", bob.grant, give)
        found = await vault.call("rights", bob.grant, GetRights(group.principal, mailbox))
        assert isinstance(found, RightsList)
        assert set(found.rights) == {
            Right(bob.principal, LETTERS, b""),
            Right(carol.principal, "lr", mailbox),
        }
        # Nobody becomes the manager of a person's mail that is there already.
        await vault.deliver(carol)
        with pytest.raises(ConflictError):
            await vault.call("open_shared", STEWARD, OpenShared(tenant, carol.principal, bob.principal))

    run_vault(job)


def test_rights_go_with_the_mailbox_and_another_companys_ticket_has_none(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        house = House(vault)
        await house.furnish()
        await house.give("lr", box=house.other)
        version = (await house.list()).version
        gone = api.ChangeMailboxes(
            house.anna.principal, version, [api.MailboxChange(house.other, delete=True)], []
        )
        await vault.call("change_mailboxes", house.anna.grant, gone)
        async with vault.stores.pool.acquire() as connection:
            assert await connection.fetchval("SELECT count(*) FROM rights") == 0
        await house.give("lr")
        stranger = grant(new_id(), house.bob.principal)
        with pytest.raises(RefusedError):
            await vault.call(
                "summaries", stranger, api.FetchSummaries(house.anna.principal, house.box, [(1, 9)])
            )

    run_vault(job)
