"""All checks together, on a directory."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from postkeep_verifier.events import Act, Extract, extract
from postkeep_verifier.merkle import EMPTY_ROOT
from postkeep_verifier.note import MLDSA44, Checkpoint, Key, Note, NoteError, parse_note, verified_by
from postkeep_verifier.numbers import Numbers
from postkeep_verifier.reconcile import Reconcile
from postkeep_verifier.tenants import Anchor, anchor_of, check_tenant, last_index, read_export
from postkeep_verifier.tiles import Finding, found
from postkeep_verifier.tree import Tree

HEADS = ("checkpoint", "checkpoint.witnessed")
"""Where signed heads lie beside a log: its newest, and the newest that witnesses have signed too."""


class UnusableError(Exception):
    """There is nothing here that could be checked; the text says what is missing."""


@dataclass
class Trust:
    """Whose signatures count."""

    keys: list[Key]
    """The installation's keys, one of each kind."""
    witnesses: list[Key]
    quorum: int
    """How many witnesses must have signed."""


@dataclass
class Report:
    """What was checked and what was found."""

    origin: str
    figures: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


def audit(directory: Path, trust: Trust, known: Sequence[Path], jobs: int) -> Report:
    """Check a copy of an installation's ledger, or of the log that one company was given."""
    report = Report(trust.keys[0].name)
    if (directory / "anchors.json").is_file():
        _audit_export(directory, trust, jobs, report)
    else:
        _audit_installation(directory, trust, known, jobs, report)
    report.findings.sort(key=lambda f: (f.entry is None, f.entry or 0, f.kind))
    return report


def _audit_installation(at: Path, trust: Trust, known: Sequence[Path], jobs: int, report: Report) -> None:
    log = at / "log" if (at / "log").is_dir() else at
    head, kept = _heads([log / name for name in HEADS], known, report.origin, trust, report)
    tenants = {path.parent.name: path for path in sorted(at.glob("tenants/*/log"))}
    heads = {name: _tenant_head(path, name, trust, report) for name, path in tenants.items()}
    ends = {name: last_index(path, heads[name].size) for name, path in tenants.items()}
    tree, numbers, events = Tree(log, head, [item.size for item in kept]), Numbers(), Reconcile()
    anchors: dict[str, list[Anchor]] = {}
    copied: Counter[str] = Counter()

    def take(part: Extract) -> None:
        report.findings.extend(part.faults)
        numbers.take(part)
        events.take(part)
        copied.update(part.tenants)
        for act in part.acts:
            if isinstance(act, Act) and act.fields["event"] == "ledger.anchor":
                anchors.setdefault(act.fields.get("tenant", ""), []).append(anchor_of(*act))

    tree.read(partial(extract, ends), take, jobs)
    report.findings += [*tree.findings, *numbers.findings, *events.findings]
    _compare_heads(tree, head, kept, report)
    for name in sorted(anchors.keys() | tenants.keys()):
        if name not in tenants:
            report.findings.append(found("tenant_log_missing", anchors[name][-1].entry, tenant=name))
            continue
        told = anchors.get(name, [])
        report.findings += check_tenant(
            tenants[name], heads[name], told, events.now_ms, installation=log, jobs=jobs
        )
        if not tree.blind and copied[name] != heads[name].size:
            counts = {"have": heads[name].size, "need": copied[name]}
            report.findings.append(found("copies_missing", None, tenant=name, **counts))
    report.figures.update(events.counts, open=events.open, entries=head.size, sources=numbers.sources)
    report.figures.update(lost=numbers.lost, tenants=len(tenants), anchors=sum(map(len, anchors.values())))


def _tenant_head(log: Path, name: str, trust: Trust, report: Report) -> Checkpoint:
    """Open the head of a tenant's log; an empty one where none was signed yet."""
    origin = f"{report.origin}/tenant/{name}"
    if not (log / HEADS[0]).exists():
        return Checkpoint(origin, 0, EMPTY_ROOT)
    return _heads([log / HEADS[0]], (), origin, trust, report)[0]


def _audit_export(directory: Path, trust: Trust, jobs: int, report: Report) -> None:
    installation, _ = _heads([directory / "installation-checkpoint"], (), report.origin, trust, report)
    try:
        tenant, anchors, unproved = read_export(directory, installation)
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableError(f"anchors.json: {error}") from error
    head, _ = _heads([directory / "log" / HEADS[0]], (), f"{report.origin}/tenant/{tenant}", trust, report)
    report.findings += unproved + check_tenant(
        directory / "log", head, anchors, 2**63, installation=None, jobs=jobs
    )
    report.figures.update(entries=head.size, tenants=1, anchors=len(anchors))


def _heads(
    own: Sequence[Path], known: Iterable[Path], origin: str, trust: Trust, report: Report
) -> tuple[Checkpoint, list[Checkpoint]]:
    """Open a log's signed heads; return its newest, and the others with those that were kept elsewhere.

    The installation's own heads are asked for the witnesses' signatures too.
    """
    opened: list[Checkpoint] = []
    witnessed: dict[str, int] = {}
    for number, path in enumerate([*own, *known]):
        try:
            note = parse_note(path.read_bytes())
            _check_signatures(note, origin, trust, whole=number == 0)
            if number < len(own):
                stamps = {key.name: verified_by(note, key) for key in trust.witnesses}
                signed = {name: stamp for name, stamp in stamps.items() if stamp is not None}
                witnessed = max(witnessed, signed, key=len)
        except FileNotFoundError:
            if number == 0 or number >= len(own):
                raise UnusableError(str(path)) from None
        except NoteError as error:
            report.findings.append(found("bad_signature", None, place=path.name, detail=str(error)))
            if number == 0:
                raise UnusableError(f"{path}: {error}") from error
        else:
            opened.append(note.checkpoint)
    if origin == report.origin and len(witnessed) < trust.quorum:
        report.findings.append(found("quorum_missing", None, have=len(witnessed), need=trust.quorum))
    if origin == report.origin and witnessed:
        report.figures.update(witnesses=len(witnessed), witnessed_at=min(witnessed.values()))
    return opened[0], opened[1:]


def _check_signatures(note: Note, origin: str, trust: Trust, *, whole: bool) -> None:
    """Raise NoteError unless the log's keys have signed; older heads may be without ML-DSA."""
    if note.checkpoint.origin != origin:
        raise NoteError(f"it is of another log: {note.checkpoint.origin}")
    for key in trust.keys:
        if verified_by(note, key._replace(name=origin)) is None and (whole or key.kind != MLDSA44):
            raise NoteError(f"no signature of the log's key of kind {key.kind}")


def _compare_heads(tree: Tree, head: Checkpoint, kept: Sequence[Checkpoint], report: Report) -> None:
    """Hold the log against the other heads that were signed for it."""
    good = 0
    for other in sorted(kept, key=lambda item: item.size):
        if other.size == head.size and other.root != head.root:
            report.findings.append(found("fork", None, size=head.size))
        elif other.size > head.size:
            report.findings.append(found("cut_off", head.size, size=other.size))
        elif tree.blind or tree.roots[other.size] == other.root:
            good = max(good, other.size)
        else:
            report.findings.append(found("rewritten", good, first=good, last=other.size - 1))
