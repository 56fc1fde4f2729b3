"""TM-14, D3: what was destroyed stays destroyed, whatever backup is restored. The target is a real S3 server.

* A backup whose own keys still live: the tombstones destroy again before anything is served.
* The control: without the end of the list it comes back, so it is the list that keeps it away. Only a newer
  backup can know of such a cut; with one the restore is refused.
* A backup whose weekly key is over (as after 30 days): even without the list it stays unreadable.
"""

import asyncio
import imaplib
import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from tests.e2e.test_backups import (
    ALICE,
    ONE_WORKER,
    PASSWORD,
    contains_once,
    directory,
    inbox,
    login,
    restore,
    restored,
    send,
)
from tests.node_process import Node, new_node
from tests.s3_server import BUCKET, Bucket, s3_bucket

from postkeep.stores.backup_target import BackupTarget, open_target

BOB = "bob@backup.example"
PLACE = f"s3://{BUCKET}/node"
DESTROYED_SECONDS = 60.0


def on_target(bucket: Bucket, work: Callable[[BackupTarget], AsyncIterator[str]]) -> list[str]:
    target = open_target(PLACE, endpoint=bucket.endpoint, credentials=bucket.credentials.read_bytes())

    async def collect() -> list[str]:
        return [item async for item in work(target)]

    return asyncio.run(collect())


async def tombstones(target: BackupTarget) -> AsyncIterator[str]:
    async for name, _ in target.list("tombstones"):
        yield name


def expunge(node: Node, which: str) -> None:
    client = login(node, ALICE)
    client.store(which, "+FLAGS", "(\\Deleted)")
    client.expunge()
    client.logout()


@pytest.mark.e2e
def test_what_was_destroyed_since_a_backup_does_not_come_back_with_it() -> None:
    with (
        s3_bucket() as bucket,
        directory() as place,
        new_node(config=f"{ONE_WORKER}{bucket.section}tombstone_seconds = 1\n") as node,
    ):
        config = place / "restore.toml"
        config.write_text(ONE_WORKER + bucket.access)
        root_key = node.data / "state/kms/root.key"
        node.tenant("backup.example")
        for address in (ALICE, BOB):
            node.user(address, PASSWORD)
        gone, kept = send(node, ALICE, "gone"), send(node, ALICE, "kept")
        of_bob = send(node, BOB, "bobs")
        first = node.json("backup", "create")["backup"]
        known = len(on_target(bucket, tombstones))

        expunge(node, "1")
        node.cli("user", "delete", BOB, "--yes")
        deleted_ms = int(time.time() * 1000)
        deadline = time.monotonic() + DESTROYED_SECONDS
        while node.json("backup", "status")["told_ms"] < deleted_ms:
            assert time.monotonic() < deadline

        options = ("--id", first, "--config", str(config))
        with restored(PLACE, root_key, *options) as (copy, said):
            assert said["accounts_destroyed_again"] == 1
            assert said["messages_destroyed_again"] >= 1
            found = inbox(copy, ALICE)
            assert contains_once(found, kept)
            assert not any(part.endswith(gone) for part in found)
            with pytest.raises(imaplib.IMAP4.error):
                login(copy, BOB)
            assert copy.cli("user", "show", BOB, check=False).returncode == 1
            again = send(copy, ALICE, "again")
            assert contains_once(inbox(copy, ALICE), again)

        for name in on_target(bucket, tombstones)[known:]:
            on_target(bucket, partial(delete, name=name))
        with restored(PLACE, root_key, *options) as (copy, said):
            assert contains_once(inbox(copy, ALICE), gone)
            assert contains_once(inbox(copy, BOB), of_bob)

        node.json("backup", "create")
        with directory() as into:
            refused = restore(PLACE, into, root_key, *options)
        assert refused.returncode == 1
        assert json.loads(refused.stderr)["error"]["code"] == "tombstones"

        assert node.json("backup", "rekey")["removed"] == 1
        with restored(PLACE, root_key, *options, "--accept-missing-tombstones") as (copy, said):
            assert said["missing"]
            assert said["keys_from"] != first
            found = inbox(copy, ALICE)
            assert contains_once(found, kept)
            assert not any(part.endswith(gone) for part in found)
            assert inbox(copy, BOB) == []
        nothing_is_put_where_nothing_is_destroyed(node, bucket)


def nothing_is_put_where_nothing_is_destroyed(node: Node, bucket: Bucket) -> None:
    """D3: a bucket that keeps versions keeps weekly keys too, so that it is refused; suspended, it is not."""
    bucket.set_versioning("Enabled")
    before = bucket.versions("node/weeks/")
    for command in ("create", "rekey"):
        refused = node.cli("backup", command, "--json", check=False)
        assert json.loads(refused.stderr)["error"]["code"] == "backup_versions"
    assert "Backup under a new weekly key" in node.cli("backup", "status").stdout
    assert "保留旧版本" in node.cli("doctor", "--lang", "zh-CN", check=False).stdout
    assert "WARNING: the target keeps versions" in node.cli("backup", "verify", check=False).stdout
    assert bucket.versions("node/weeks/") == before

    bucket.set_versioning("Suspended")
    assert node.json("backup", "rekey")["removed"] == 1
    assert "以新的周密钥备份" in node.cli("backup", "status", "--lang", "zh-CN").stdout
    keys = [name for name, _ in bucket.versions("node/weeks/") if name.endswith("/key")]
    assert len(keys) == 1


async def delete(target: BackupTarget, name: str) -> AsyncIterator[str]:
    await target.delete(name)
    yield name
