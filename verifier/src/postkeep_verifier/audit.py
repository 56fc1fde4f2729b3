"""All checks together, on a directory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from postkeep_verifier.events import extract
from postkeep_verifier.merkle import EMPTY_ROOT
from postkeep_verifier.note import MLDSA44, Checkpoint, Key, NoteError, parse_note, verified_by
from postkeep_verifier.reconcile import Reconcile
from postkeep_verifier.tenants import check_tenant, last_index, read_export
from postkeep_verifier.tiles import Finding, found
from postkeep_verifier.tree import Tree

HEADS = ("checkpoint", "checkpoint.witnessed")  # beside a log: its newest, the newest that witnesses signed


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
        Raises NoteError or OSError where nothing can be checked.
        """
        if (directory / "anchors.json").is_file():
            self._check_export(directory)
        else:
            self._check_installation(directory, known)
        self.findings.sort(key=lambda fault: (fault.entry is None, fault.entry or 0, fault.kind))

    def _check_installation(self, directory: Path, known: Sequence[Path]) -> None:
        log = directory / "log" if (directory / "log").is_dir() else directory
        head, kept = self._heads([log / name for name in HEADS], known)
        logs = {path.parent.name: path for path in sorted(directory.glob("tenants/*/log"))}
        heads = {name: self._tenant_head(path, name) for name, path in logs.items()}
        ends = {name: last_index(path, heads[name].size) for name, path in logs.items()}
        tree, events = Tree(log, head, [item.size for item in kept]), Reconcile()
        tree.read(partial(extract, ends), events.take, self.jobs)
        self.findings += tree.findings + events.findings
        self._compare_heads(tree, head, kept)
        for name in sorted(events.anchors.keys() - logs.keys()):
            self.findings.append(found("tenant_log_missing", events.anchors[name][-1]["entry"], tenant=name))
        for name, path in logs.items():
            own, anchors, need = heads[name], events.anchors.get(name, []), events.copied[name]
            self.findings += check_tenant(path, own, anchors, events.now_ms, installation=log, jobs=self.jobs)
            if not tree.blind and need != own.size:
                self.findings.append(found("copies_missing", None, tenant=name, have=own.size, need=need))
        self.figures.update(events.counts, entries=head.size, tenants=len(logs))

    def _check_export(self, directory: Path) -> None:
        installation, _ = self._heads([directory / "installation-checkpoint"], [])
        try:
            tenant, anchors, unproved = read_export(directory, installation)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise NoteError(f"anchors.json: {error}") from error
        log = directory / "log"
        head = self._head(log / HEADS[0], f"{self.origin}/tenant/{tenant}")
        self.findings += unproved
        self.findings += check_tenant(log, head, anchors, 2**63, installation=None, jobs=self.jobs)
        self.figures.update(entries=head.size, tenants=1, anchors=len(anchors))

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
        """Say which witnesses have signed a head, and when."""
        stamps = {key.name: verified_by(head, key) for key in self.witnesses}
        return {name: stamp for name, stamp in stamps.items() if stamp is not None}

    def _tenant_head(self, log: Path, name: str) -> Checkpoint:
        """Open the head of a tenant's log; an empty one where none was signed yet."""
        origin, path = f"{self.origin}/tenant/{name}", log / HEADS[0]
        return self._head(path, origin) if path.exists() else Checkpoint(origin, 0, EMPTY_ROOT)

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
