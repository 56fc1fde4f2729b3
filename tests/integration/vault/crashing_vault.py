"""A vault under load in a process of its own, to be killed: says on stdout what it was answered.

Lines: `stored BODY`, `at_once GROUPS` that were stored in one statement, `removing BODY` before an expunge
that takes it, `removed WRAPS` after one.
"""

import asyncio
import hashlib
import random
import sys
from pathlib import Path

from tests.integration.vault.conftest import MX, STEWARD, Person, Vault, grant, running_vault

from postkeep.base.ids import new_id
from postkeep.services.vault import api

WRITERS = 4


def content_of(body: bytes) -> bytes:
    """The sealed content of a body, so that whoever reads it can tell whether it is the right one."""
    return hashlib.shake_256(body).digest(300 + body[-1] * 20)


def person_of(tenant: bytes, principal: bytes) -> Person:
    person = Person(tenant)
    person.principal = principal
    person.epochs = [api.NewEpoch(tenant, principal, person.epoch, b"sealed epoch")]
    return person


def say(*words: str) -> None:
    print(*words, flush=True)


async def write(vault: Vault, person: Person) -> None:
    """Deposit for ever; now and then remove some."""
    while True:
        deposits = []
        for _ in range(random.randint(1, 5)):
            body = new_id()
            data = content_of(body)
            deposits.append(
                api.Deposit(person.tenant, body, data, b"summary", len(data) - 72, [person.placement()])
            )
        answer = await vault.call("deposit", MX, api.DepositBatch(deposits, person.epochs))
        for deposit, result in zip(deposits, answer.results, strict=True):
            assert not result.error
            say("stored", deposit.body.hex())
        say("at_once", str(vault.service.rows.at_once))
        if random.random() < 0.3:
            placed = answer.results[0].placed[0]
            say("removing", deposits[0].body.hex())
            uids = [(placed.uid, placed.uid)]
            who = grant(person.tenant, person.principal)
            flags = api.StoreFlags(person.principal, placed.mailbox, uids, "add", ("\\Deleted",))
            await vault.call("store_flags", who, flags)
            await vault.call("expunge", who, api.Expunge(person.principal, placed.mailbox, uids))
            say("removed", deposits[0].placements[0].wraps.hex())


async def maintain(vault: Vault) -> None:
    while True:
        await vault.call("maintain", STEWARD, api.Maintain(0.1))
        await asyncio.sleep(0.05)


async def main(dsn: str, directory: Path, tenant: bytes, principal: bytes) -> None:
    async with running_vault(dsn, directory) as vault:
        say("ready")
        people = [person_of(tenant, principal) for _ in range(WRITERS)]
        await asyncio.gather(*(write(vault, person) for person in people), maintain(vault))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), bytes.fromhex(sys.argv[3]), bytes.fromhex(sys.argv[4])))
