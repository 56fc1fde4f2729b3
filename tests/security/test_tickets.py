"""Rogue modules against a genuine keeper over a real socket: T1, and what a taken module can do (T6, T7)."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.ticket_world import (
    ALICE,
    INBOX,
    Keeper,
    Realm,
    Refused,
    attempt,
    connect,
)

from postkeep.base.errors import RefusedError
from postkeep.base.ids import new_id
from postkeep.services.kms import api as kms
from postkeep.services.vault import api as vault
from postkeep.tickets import token as tokens
from postkeep.tickets.rules import EVERYBODY, RULES, rules_for


def test_a_genuine_user_ticket_is_answered(tmp_path: Path) -> None:
    realm = Realm()
    imap = realm.module("imap")
    assert attempt(tmp_path, realm, imap, realm.user(imap)) == Refused("", 1, [])


# --- T1: no ticket, no byte ---


@pytest.mark.parametrize("module", [name for name in EVERYBODY if name not in {"vault", "kms"}])
def test_t1_no_module_gets_a_byte_without_the_ticket_that_the_rule_asks_for(
    tmp_path: Path, module: str
) -> None:
    realm = Realm()

    async def run() -> None:
        for name in ("vault", "kms"):
            keeper = Keeper(realm, name)
            await keeper.server.serve_unix(tmp_path / f"{name}.sock")
            link = connect(realm, realm.module(module), tmp_path / f"{name}.sock", name)
            admitted = any(name == rule.method.partition(".")[0] and module in rule.callers for rule in RULES)
            for method, rules in rules_for(name).items():
                if any(rule.kind is None and module in rule.callers for rule in rules):
                    continue
                before = len(keeper.refusals)
                with pytest.raises(RefusedError) as caught:
                    await link.call(method, kms.Anchors(), vault.Quota)
                listed = any(module in rule.callers for rule in rules)
                expected = "no_ticket" if listed else "method" if admitted else "audience"
                assert caught.value.code == f"refused.{expected}", method
                assert len(keeper.refusals) == before + 1, method
            assert keeper.given == 0
            await link.close()
            await keeper.server.close()

    asyncio.run(run())


def test_t1_mx_can_deposit_and_can_call_nothing_that_reads(tmp_path: Path) -> None:
    realm = Realm()
    mx = realm.module("mx")
    ticket = realm.operation(mx, "deliver")
    deposit = vault.DepositBatch([], [])
    assert attempt(tmp_path, realm, mx, ticket, "vault.deposit", deposit).given == 1
    for method in (
        "vault.content",
        "vault.summaries",
        "vault.epochs",
        "vault.rows",
        "vault.updates",
        "vault.pages",
        "vault.queue_content",
    ):
        outcome = attempt(tmp_path, realm, mx, ticket, method)
        assert (outcome.code, outcome.given, len(outcome.refusals)) == ("refused.method", 0, 1)
    outcome = attempt(tmp_path, realm, mx, ticket, "kms.open_epochs", kms.OpenEpochs(ALICE, []))
    assert (outcome.code, outcome.given) == ("refused.method", 0)


def test_t6_a_taken_imap_reads_the_mailboxes_of_the_tickets_it_holds_and_no_others(tmp_path: Path) -> None:
    realm = Realm()
    taken, neighbour = realm.module("imap", 1), realm.module("imap", 2)
    people = [new_id() for _ in range(12)]
    here = {person: realm.user(taken, person) for person in people[:3]}
    elsewhere = {person: realm.user(neighbour, person) for person in people[3:6]}

    async def run() -> set[bytes]:
        keeper = Keeper(realm)
        await keeper.server.serve_unix(tmp_path / "vault.sock")
        link = connect(realm, taken, tmp_path / "vault.sock")
        read = set()
        for person in people:
            for ticket in (b"", taken.ticket, *here.values(), *elsewhere.values(), *_forged(person)):
                try:
                    request = vault.FetchContent(person, INBOX, [vault.Range(1)])
                    await link.call("vault.content", request, vault.Quota, ticket=ticket)
                    read.add(person)
                except RefusedError:
                    continue
        assert keeper.given == len(here)
        await link.close()
        await keeper.server.close()
        return read

    def _forged(person: bytes) -> list[bytes]:
        """What its key can sign: a ticket of its own making, and one hung on a ticket that it does hold."""
        parent = next(iter(here.values()))
        claims = msgspec.structs.replace(tokens.read(parent)[0].ticket, principal=person.hex())
        child = msgspec.structs.replace(claims, depth=1, parent=tokens.digest(parent))
        return [
            tokens.write(claims, taken.sign),
            tokens.append(tokens.write(child, taken.sign), taken.public_key, parent),
        ]

    assert asyncio.run(run()) == set(here)


@pytest.mark.parametrize("module", ["mx", "submission", "relay"])
def test_t7_whoever_delivers_can_not_read_back_what_it_wrote(tmp_path: Path, module: str) -> None:
    realm = Realm()
    writer = realm.module(module)
    ticket = realm.operation(writer, "deliver")
    for method in ("vault.content", "vault.summaries", "vault.epochs", "vault.queue_content"):
        outcome = attempt(tmp_path, realm, writer, ticket, method)
        assert outcome.code in {"refused.method", "refused.action"}, method
        assert outcome.given == 0
    outcome = attempt(tmp_path, realm, writer, ticket, "kms.open_epochs", kms.OpenEpochs(ALICE, []))
    assert outcome.code in {"refused.method", "refused.audience"}
    assert outcome.given == 0
