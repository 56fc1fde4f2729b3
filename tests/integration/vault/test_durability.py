"""The order of writes: what a row refers to is synced to the disk before the row is stored."""

import os
from pathlib import Path
from typing import Any

import pytest
from tests.integration.vault.conftest import Person, RunVault, Vault

from postkeep.base.ids import new_id

TENANT = new_id()


@pytest.mark.parametrize("size", [500, 200_000])
def test_bodies_and_wraps_are_synced_before_their_rows_are_stored(
    run_vault: RunVault, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    dirty: set[str] = set()
    written: set[str] = set()
    unsynced_at_rows: list[set[str]] = []

    def name(fd: int) -> str:
        return Path(f"/proc/self/fd/{fd}").readlink().suffix or "slots"

    def noting(real: Any) -> Any:
        def write(fd: int, *arguments: Any) -> int:
            dirty.add(name(fd))
            written.add(name(fd))
            return int(real(fd, *arguments))

        return write

    def syncing(real: Any) -> Any:
        def sync(fd: int) -> None:
            real(fd)
            dirty.discard(name(fd))

        return sync

    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann)
        monkeypatch.setattr(os, "pwrite", noting(os.pwrite))
        monkeypatch.setattr(os, "pwritev", noting(os.pwritev))
        monkeypatch.setattr(os, "fdatasync", syncing(os.fdatasync))
        store = vault.service.rows.store

        async def storing(*arguments: Any) -> Any:
            unsynced_at_rows.append(set(dirty))
            return await store(*arguments)

        monkeypatch.setattr(vault.service.rows, "store", storing)
        await vault.deliver(ann, size=size)
        monkeypatch.undo()
        assert written == {".pack", "slots"}
        assert unsynced_at_rows == [set()]

    run_vault(job)
