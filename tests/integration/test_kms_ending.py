"""D4, D5: what kms does at the end of keys: marks, holds, certificates, taking back what was never made."""

import asyncio
import os
from pathlib import Path
from typing import Any, cast

import pytest
from tests.integration.test_kms_hierarchy import Store, open_store
from tests.integration.vault.conftest import STEWARD
from tests.warrants import person_warrant

from postkeep.base.clock import FixedClock
from postkeep.base.errors import ConflictError, RefusedError
from postkeep.base.ids import new_id
from postkeep.crypto.fingerprint import Search
from postkeep.services.kms import api
from postkeep.services.kms.ending import DISCARD_MS_MAX, CertificateKeys, Ending
from postkeep.services.kms.signing import PostQuantumKey, SigningKey
from postkeep.services.ledger.trail import Trail

SALT = os.urandom(16)


class Told:
    """What the ledger hears."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    async def record(self, _event: str, **fields: Any) -> int:
        assert "principal" not in fields, "a hold may be confidential"
        self.notes.append(fields["note"])
        return len(self.notes)


def ending(store: Store, told: Told, clock: FixedClock) -> Ending:
    keys = CertificateKeys(SigningKey(os.urandom(32)), PostQuantumKey(os.urandom(32)))
    trail = cast("Trail", told)
    return Ending(store.keys, rows=store.rows, slots=store.slots, keys=keys, trail=trail, clock=clock)


def test_keys_under_a_hold_are_not_destroyed_and_marks_find_them_until_they_are(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        told, tenant, person = Told(), new_id(), new_id()
        async with open_store(dsn, tmp_path) as store:
            kms = ending(store, told, FixedClock())
            await store.keys.provision_tenant(tenant)
            await store.keys.provision_principal(tenant, person, queue=False)
            marked = await kms.mark(STEWARD, api.Mark(person_warrant(tenant, person), SALT))
            search = Search(marked.prints, SALT)
            slots = tmp_path / "keys.slots"
            assert list(search.hits(slots.read_bytes())) == [0]
            hold = new_id()
            await kms.hold(STEWARD, api.Hold(tenant, hold, "litigation", person))
            for principal in (person, b""):
                with pytest.raises(RefusedError, match=hold.hex()):
                    await store.keys.shred(tenant, principal)
            with pytest.raises(ConflictError):
                await kms.certify(STEWARD, api.Certify(b"body", tenant, person))
            await kms.release_hold(STEWARD, api.ReleaseHold(tenant, hold))
            assert await store.keys.shred(tenant, person) == 1
            assert list(search.hits(slots.read_bytes())) == []
            signed = await kms.certify(STEWARD, api.Certify(b"body", tenant, person))
            assert (len(signed.ed25519), len(signed.public_keys)) == (64, 32 + 1312)
            assert told.notes == ["hold", "release"]

    asyncio.run(scenario())


def test_only_young_keys_of_what_was_never_made_are_taken_back(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        told, clock = Told(), FixedClock()
        tenant, young, old = new_id(), new_id(), new_id()
        async with open_store(dsn, tmp_path) as store:
            kms = ending(store, told, clock)
            await store.keys.provision_tenant(tenant)
            for person in (young, old):
                await store.keys.provision_principal(tenant, person, queue=False)
            assert (await kms.discard(STEWARD, api.Discard(tenant, young))).keys == 1
            assert (await kms.discard(STEWARD, api.Discard(tenant, new_id()))).keys == 0
            with pytest.raises(RefusedError):
                await kms.discard(STEWARD, api.Discard(tenant))  # somebody is in it
            clock.advance(DISCARD_MS_MAX / 1000 + 1)
            with pytest.raises(RefusedError):
                await kms.discard(STEWARD, api.Discard(tenant, old))

    asyncio.run(scenario())
