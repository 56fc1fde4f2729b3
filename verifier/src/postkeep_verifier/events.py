"""What the entries of a log say, cut down to what the checks need. Runs in the workers' processes."""

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from postkeep_verifier.tiles import Bundles, Finding, found

ACCESSES = frozenset({"mail.read", "mail.write", "queue"})
"""Events that tell of sealed data being fetched or changed."""
ACTS = frozenset(
    {"ticket.issue", "ticket.revoke", "key.release", "key.create", "key.shred", "admin", "directory"}
)
ACTS |= {"request.open", "request.decide", "request.grant", "ledger.anchor"}
"""Events that are looked at one by one."""
NUMBERS = frozenset({"time_ms", "number", "count", "state"})
"""The fields that are numbers; all others are text."""
TOGETHER_MS = 10_000
"""Accesses of one ticket that are so near to each other are looked at as one."""
UNKNOWN = ""
"""The source of a run that stands for entries which can't be read."""
_BAD = (ValueError, TypeError, KeyError, RecursionError)


class Run(NamedTuple):
    """Events of one source with numbers that go up by one, from entry `entry` on."""

    entry: int
    source: str
    first: int
    last: int


class Access(NamedTuple):
    """The first of the accesses with one ticket in one session, of one bundle and TOGETHER_MS."""

    entry: int
    time_ms: int
    ticket: str
    session: str
    instance: str
    principal: str


class Act(NamedTuple):
    """An event that is looked at one by one."""

    entry: int
    fields: dict[str, Any]


@dataclass
class Extract:
    """What a stretch of the installation's log says."""

    runs: list[Run] = field(default_factory=list)
    lost: list[tuple[str, int, int]] = field(default_factory=list)
    """Gaps that the ledger has recorded itself: source, first and last number."""
    acts: list[Act | Access] = field(default_factory=list)
    tenants: dict[str, int] = field(default_factory=dict)
    """How many entries each tenant has, up to the end of its own log."""
    latest_ms: int = 0
    faults: list[Finding] = field(default_factory=list)


def extract(ends: dict[str, int], bundles: Bundles) -> Extract:
    """Read a stretch of entries. `ends`: the installation index that each tenant's own log ends with."""
    result = Extract()
    runs: dict[str, list[int]] = {}
    for start, entries in bundles:
        if entries is None:
            _close(result.runs, runs)
            result.runs.append(Run(start, UNKNOWN, 0, 0))
            continue
        seen: set[tuple[Any, ...]] = set()
        for index, entry in enumerate(entries, start):
            try:
                fields = _parse(entry)
                _number(index, fields["source"], fields["number"], runs, result.runs)
                _look(index, fields, seen, result)
                tenant = fields.get("tenant")
                if tenant and index <= ends.get(tenant, -1) and fields["event"] != "ledger.anchor":
                    result.tenants[tenant] = result.tenants.get(tenant, 0) + 1
            except _BAD:
                result.faults.append(found("entry_unreadable", index))
    _close(result.runs, runs)
    return result


def _number(index: int, source: str, number: int, runs: dict[str, list[int]], closed: list[Run]) -> None:
    run = runs.get(source)
    if run is not None and number == run[2] + 1:
        run[2] = number
        return
    if run is not None:
        closed.append(Run(run[0], source, run[1], run[2]))
    runs[source] = [index, number, number]


def _close(closed: list[Run], runs: dict[str, list[int]]) -> None:
    closed += [Run(run[0], source, run[1], run[2]) for source, run in runs.items()]
    closed.sort()
    runs.clear()


def _look(index: int, fields: dict[str, Any], seen: set[tuple[Any, ...]], result: Extract) -> None:
    event, time_ms = fields["event"], fields["time_ms"]
    result.latest_ms = max(result.latest_ms, time_ms)
    if event in ACCESSES:
        source, ticket = fields["source"], fields.get("ticket", "")
        who = (ticket, fields.get("session", ""), fields.get("instance", ""), fields.get("principal", ""))
        if not source.startswith("vault-"):
            if event != "queue" or ticket:  # a relay tells of its deliveries, which are no access
                result.faults.append(found("false_witness", index, event=event, source=source))
        elif (moment := (*who, time_ms // TOGETHER_MS)) not in seen:
            seen.add(moment)
            result.acts.append(Access(index, time_ms, *map(str, who)))
    elif event in ACTS:
        if any(type(value) is not (int if name in NUMBERS else str) for name, value in fields.items()):
            raise TypeError("a field of another type than it has")
        result.acts.append(Act(index, fields))
    elif fields.get("code") == "lost_events":
        first, _, last = fields["note"].partition("-")
        result.lost.append((str(fields["actor"]), int(first), int(last)))


_decode = json.JSONDecoder().raw_decode


def _parse(entry: bytes) -> dict[str, Any]:
    """Read an entry; raise ValueError or TypeError unless it is one object that has each field once."""
    text = entry.decode()
    fields: dict[str, Any]
    fields, end = _decode(text)
    if end != len(text) or type(fields) is not dict or text.count('":') != len(fields):
        fields = json.loads(text, object_pairs_hook=_once)
    if type(fields["source"]) is not str or type(fields["number"]) is not int:
        raise TypeError("not an event")
    return fields


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field stands there twice")
    return fields
