"""All checks together, on a directory.

The log that a company is given holds copies of the installation's entries about it, in their order: each is
`{"index":N,"entry":E}`, E being entry N, octet for octet. Events `ledger.anchor` in the installation's log
tell of its heads (count: the size, digest: the root)."""

import base64
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from postkeep_verifier.events import UNREADABLE, Event, extract, parse, typed
from postkeep_verifier.merkle import EMPTY_ROOT, leaf_hash, root_from_inclusion
from postkeep_verifier.note import MLDSA44, Checkpoint, Key, NoteError, parse_note, verified_by
from postkeep_verifier.reconcile import Reconcile
from postkeep_verifier.tree import WIDTH, Bundles, Finding, Tree, found, read_bundle, read_tile

HEADS = ("checkpoint", "checkpoint.witnessed")  # beside a log: its newest, the newest that witnesses signed
SIGNED_MS = 60_000  # a head that was anchored is signed within some seconds
Copies = tuple[list[tuple[int, int]], list[Finding]]  # each one's place and index; what is wrong with them
_COPY = re.compile(rb'\{"index":(0|[1-9][0-9]{0,18}),"entry":(\{.*\})\}\Z', re.DOTALL)


@dataclass
class Audit:
    """Whose signatures count, and what was checked and found with them."""

    origin: str  # the installation's name
    keys: Sequence[Key]  # its keys, one of each kind
    witnesses: Sequence[Key]
    quorum: int  # how many witnesses must have signed
    jobs: int  # processes
    figures: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def check(self, directory: Path, known: Sequence[Path]) -> None:
        """Check a copy of an installation's ledger or of a company's log. `known`: heads kept elsewhere.
        Raises NoteError or OSError where nothing can be checked."""
        if (directory / "anchors.json").is_file():
            self._check_export(directory)
        else:
            self._check_installation(directory, known)
        self.findings.sort(key=lambda fault: (fault.entry is None, fault.entry or 0, fault.kind))

    def _check_installation(self, directory: Path, known: Sequence[Path]) -> None:
        log = directory / "log" if (directory / "log").is_dir() else directory
        head, kept = self._heads([log / name for name in HEADS], known)
        logs = {path.parent.name: path for path in sorted(directory.glob("tenants/*/log"))}
        heads = {}
        for name, path in logs.items():  # an empty head where none was signed yet
            origin, place = f"{self.origin}/tenant/{name}", path / HEADS[0]
            heads[name] = self._head(place, origin) if place.exists() else Checkpoint(origin, 0, EMPTY_ROOT)
        ends = {name: _last_index(path, heads[name].size) for name, path in logs.items()}
        tree, events = Tree(log, head, [item.size for item in kept]), Reconcile()
        tree.read(partial(extract, ends), events.take, self.jobs)
        self.findings += tree.findings + events.findings
        self._compare_heads(tree, head, kept)
        for name in sorted(events.anchors.keys() - logs.keys()):
            self.findings.append(found("tenant_log_missing", events.anchors[name][-1]["entry"], tenant=name))
        for name, path in logs.items():
            own, need = heads[name], events.copied[name]
            self._check_tenant(path, own, events.anchors.get(name, []), events.now_ms, log)
            if not tree.blind and need != own.size:
                self.findings.append(found("copies_missing", None, tenant=name, have=own.size, need=need))
        self.figures.update(events.counts, entries=head.size, tenants=len(logs))

    def _check_export(self, directory: Path) -> None:
        """Check a company's log and what was given along: anchors, each with its proof under a head."""
        head, _ = self._heads([directory / "installation-checkpoint"], [])
        anchors = []
        try:
            told = json.loads((directory / "anchors.json").read_bytes())
            for item in told["anchors"]:
                entry, proof = base64.b64decode(item["entry"]), map(base64.b64decode, item["proof"])
                anchors.append(event := typed(item["index"], parse(entry)))
                root = root_from_inclusion(item["index"], leaf_hash(entry), head.size, list(proof))
                right = (event["event"], event["tenant"]) == ("ledger.anchor", told["tenant"])
                if root != head.root or told["size"] != head.size or not right:
                    self.findings.append(found("anchor_unproved", item["index"]))
            origin = f"{self.origin}/tenant/{told['tenant']}"
        except UNREADABLE as error:
            raise NoteError(f"anchors.json: {error}") from error
        own = self._head(directory / "log" / HEADS[0], origin)
        self._check_tenant(directory / "log", own, anchors, 2**63, None)
        self.figures.update(entries=own.size, tenants=1, anchors=len(anchors))

    def _heads(self, own: Sequence[Path], known: Sequence[Path]) -> tuple[Checkpoint, list[Checkpoint]]:
        """Open the installation's heads; return its newest, and the others with those kept elsewhere."""
        newest, others = self._head(own[0], self.origin), []
        witnessed = self._witnessed(newest)
        for path in [*filter(Path.exists, own[1:]), *known]:
            try:
                note = self._head(path, self.origin, newest=False)
                if path in own:
                    witnessed = max(witnessed, self._witnessed(note), key=len)
                others.append(note)
            except NoteError as error:
                self.findings.append(found("bad_signature", None, place=path.name, detail=str(error)))
        if len(witnessed) < self.quorum:
            self.findings.append(found("quorum_missing", None, have=len(witnessed), need=self.quorum))
        if witnessed:
            self.figures.update(witnesses=len(witnessed), witnessed_at=min(witnessed.values()))
        return newest, others

    def _head(self, path: Path, origin: str, *, newest: bool = True) -> Checkpoint:
        """Open a head that the log's keys have signed; older ones may be without ML-DSA."""
        try:
            head = parse_note(path.read_bytes())
            unsigned = [key.kind for key in self.keys if verified_by(head, key._replace(name=origin)) is None]
        except NoteError as error:
            raise NoteError(f"{path}: {error}") from error
        if head.origin != origin:
            raise NoteError(f"{path}: it is of another log: {head.origin}")
        if unsigned and (newest or unsigned != [MLDSA44]):
            raise NoteError(f"{path}: no signature of the log's keys of the kinds {unsigned}")
        return head

    def _witnessed(self, head: Checkpoint) -> dict[str, int]:
        stamps = {key.name: verified_by(head, key) for key in self.witnesses}
        return {name: stamp for name, stamp in stamps.items() if stamp is not None}

    def _compare_heads(self, tree: Tree, head: Checkpoint, kept: Sequence[Checkpoint]) -> None:
        """Hold the log against the other heads that were signed for it."""
        good = 0
        for other in sorted(kept, key=lambda item: item.size):
            if other.size == head.size and other.root != head.root:
                self.findings.append(found("fork", None, size=head.size))
            elif other.size > head.size:
                self.findings.append(found("cut_off", head.size, size=other.size))
            elif tree.blind or tree.roots[other.size] == other.root:
                good = max(good, other.size)
            else:
                self.findings.append(found("rewritten", good, first=good, last=other.size - 1))

    def _check_tenant(
        self, log: Path, head: Checkpoint, anchors: list[Event], now_ms: int, installation: Path | None
    ) -> None:
        """Check a tenant's log: its tree, its copies against the installation's hashes, its anchors.
        `now_ms`: the end of the installation's log. Anchors just before it may have no signed head yet."""
        tree, tenant, last = Tree(log, head, [event["count"] for event in anchors]), log.parent.name, -1

        def take(copies: Copies) -> None:
            nonlocal last
            self.findings += copies[1]
            for place, index in copies[0]:
                if index <= last:
                    self.findings.append(found("copy_out_of_order", place, tenant=tenant))
                last = index

        tree.read(partial(_read_copies, installation, tenant), take, self.jobs)
        self.findings += tree.findings
        for event in anchors:
            index, size = event["entry"], event["count"]
            if size > head.size:
                if event["time_ms"] <= now_ms - SIGNED_MS:  # else its head is signed a moment later
                    self.findings.append(found("anchor_beyond", index, tenant=tenant, size=size))
            elif not tree.blind and (size < 0 or tree.roots[size].hex() != event["digest"]):
                self.findings.append(found("anchor_wrong", index, tenant=tenant, size=size))
        if head.size and not [one for one in anchors if installation or one["count"] == head.size]:
            self.findings.append(found("anchor_missing", None, tenant=tenant))


def _last_index(log: Path, size: int) -> int:
    """Return the installation's index of the last copy; -1 where it can't be read (which is found later)."""
    bundle = read_bundle(log, (size - 1) // WIDTH, (size - 1) % WIDTH + 1) if size else None
    match = _COPY.match(bundle[0][-1]) if bundle and bundle[0] else None
    return int(match[1]) if match else -1


def _read_copies(installation: Path | None, tenant: str, bundles: Bundles) -> Copies:
    """Take copies apart: their places and indexes, and those that differ from what they are copies of."""
    pairs, findings, tile, number = [], [], None, -1
    for start, entries in bundles:
        for place, entry in enumerate(entries or (), start):
            match = _COPY.match(entry)
            if not match:
                findings.append(found("entry_unreadable", place))
                continue
            index = int(match[1])
            pairs.append((place, index))
            if installation is not None and index // WIDTH != number:
                number = index // WIDTH
                shapes = (read_tile(installation, 0, number, width) for width in range(WIDTH, 0, -1))
                tile = next(filter(None, shapes), None)
            if installation is not None and (not tile or tile[index % WIDTH :][:1] != [leaf_hash(match[2])]):
                findings.append(found("copy_altered", place, tenant=tenant, original=index))
    return pairs, findings
