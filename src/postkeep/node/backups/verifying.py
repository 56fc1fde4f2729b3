"""`postkeep backup verify`: the proof that a backup comes back, by bringing a part of it back.

The database is restored into a temporary directory and brought to its moment; then random messages are
opened from the objects in the target: the owner's keys from the key stream, the wrapped message key, the
sealed body. Nothing of what they say is shown or kept. What was checked and what was not is in the report.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from postkeep.base.errors import IntegrityError, NotFoundError
from postkeep.crypto.wrap import KEY_BYTES
from postkeep.model.backup import Manifest, piece_path
from postkeep.node.backups.opening import AskRoot, Opened, copy_sealed, lay_out_root, open_backups
from postkeep.node.backups.recovery import Recovery
from postkeep.node.backups.restoring import administrator, administrators_pool, write_kms_slots
from postkeep.node.config import Config
from postkeep.node.postgres.cluster import Cluster
from postkeep.node.supervisor.plan import UID_BASE_DEFAULT
from postkeep.services.backup.catalogue import read_tombstones
from postkeep.services.backup.checking import SampleOpener, Samples, check_objects
from postkeep.services.backup.fetching import Fetcher
from postkeep.services.backup.logs import fetch_log
from postkeep.services.backup.replaying import missing_after
from postkeep.services.kms.custodians import Custody
from postkeep.stores.backup_replay import counted, sample
from postkeep.stores.backup_target import BackupTarget
from postkeep.stores.slots import ErasableSlots


@dataclass(frozen=True)
class Inquiry:
    """What is to be checked."""

    target: BackupTarget
    config: Config
    state: Path | None
    """Where the root key lies as a node here has it sealed; None: take what is in the target."""
    ask: AskRoot
    custody: Custody
    """The way to companies' own keys."""
    root_key: Path | None = None
    backup: str = ""
    samples: int = 20
    tell: Callable[[str], None] = lambda _step: None


@dataclass(frozen=True)
class Report:
    """What was found."""

    backup: str
    finished_ms: int
    objects: int
    messages: int
    samples: Samples
    keys_until_ms: int
    """When its key stream ends; 0: it has ended, and no sample could be opened."""
    destroyed_until_ms: int
    keeps_versions: bool
    problems: list[str]
    seconds: float


async def verify(inquiry: Inquiry) -> Report:
    """Check one backup, the newest if none is named; raise only where nothing can be checked at all."""
    started = time.monotonic()
    work = _make_work()
    try:
        inquiry.tell("keys")
        state = work / "state" / "kms"
        if inquiry.state is not None and inquiry.root_key is None:
            copy_sealed(inquiry.state, state)
        else:
            await lay_out_root(inquiry.target, state, inquiry.root_key)
        opened = await open_backups(inquiry.target, state, inquiry.config, inquiry.ask)
        shutil.rmtree(work / "state")
        return await _check(inquiry, opened, work, started)
    finally:
        shutil.rmtree(work, ignore_errors=True)


async def _check(inquiry: Inquiry, opened: Opened, work: Path, started: float) -> Report:
    manifest = _chosen(opened, inquiry.backup)
    weekly = opened.weeks.get(manifest.keys.week)
    problems = [f"backup {backup} is damaged or not of this node" for backup in opened.unreadable]
    destroyed_until, gap = await _tombstones(opened, manifest)
    problems += [gap] if gap else []
    inquiry.tell("objects")
    objects, wrong = await check_objects(opened.target, manifest, opened.parents.data, weekly)
    problems += wrong
    messages, samples = 0, Samples(0, 0, 0, [])
    if weekly is not None and not wrong:
        inquiry.tell("samples")
        messages, samples = await _samples(inquiry, opened, manifest, weekly, work)
        problems += samples.failed
    return Report(
        backup=manifest.id,
        finished_ms=manifest.finished_ms,
        objects=objects,
        messages=messages,
        samples=samples,
        keys_until_ms=manifest.keys.expires_ms if weekly is not None else 0,
        destroyed_until_ms=destroyed_until,
        keeps_versions=await opened.target.keeps_versions(),
        problems=problems,
        seconds=time.monotonic() - started,
    )


def _make_work() -> Path:
    work = Path(tempfile.mkdtemp(prefix="postkeep-verify-"))
    work.chmod(0o711)
    return work


def _chosen(opened: Opened, backup: str) -> Manifest:
    for manifest in reversed(opened.manifests):
        if not backup or manifest.id == backup:
            return manifest
    if not backup and not opened.unreadable:
        raise NotFoundError(code="no_backups", public_text="There are no backups at this place.")
    text = f"There is no backup {backup or 'at all'} here that can be read."
    raise NotFoundError(code="no_such_backup", public_text=text)


async def _tombstones(opened: Opened, manifest: Manifest) -> tuple[int, str]:
    mine = [other for other in opened.manifests if other.line == manifest.line]
    try:
        found = await read_tombstones(
            opened.target, manifest.line, opened.parents.data, opened.parents.signer
        )
    except IntegrityError as error:
        return 0, error.public_text
    return max((tombstone.time_ms for tombstone, _ in found), default=0), missing_after(found, mine)


async def _samples(
    inquiry: Inquiry, opened: Opened, manifest: Manifest, weekly: bytes, work: Path
) -> tuple[int, Samples]:
    uid = (inquiry.config.node.uid_base or UID_BASE_DEFAULT) if os.geteuid() == 0 else None
    data = Fetcher(opened.target, opened.parents.data, piece_path)
    await data.write(manifest.tree("postgres"), work / "postgres", uid)
    ends = (manifest.database.start_segment, manifest.database.end_segment)
    await fetch_log(
        opened.target, manifest.line, opened.parents.data, ends, directory=work / "log", owner=uid
    )
    sockets = work / "pg"
    sockets.mkdir(mode=0o711)
    if uid is not None:
        os.chown(sockets, uid, uid)
    await write_kms_slots(opened, manifest, work / "keys.slots")
    cluster = Cluster(work / "postgres", sockets, uid)
    recovery = Recovery(cluster, work / "log", manifest.database, manifest.database, 0)
    async with recovery.run():
        async with administrator(sockets, "vault") as vault:
            messages = await counted(vault)
            rows = await sample(vault, inquiry.samples)
        with ErasableSlots(work / "keys.slots", KEY_BYTES) as slots:
            async with administrators_pool(sockets, "kms") as pool:
                opener = SampleOpener(opened.target, manifest, opened.parents.data, weekly)
                return messages, await opener.open(rows, pool, opened.roots, slots, inquiry.custody)
