"""What the entries of a log say, cut down to what the checks need. Runs in the workers' processes."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from postkeep_verifier.tree import Bundles, Finding, found

ACCESSES = frozenset({"mail.read", "mail.write", "queue"})  # events that tell of sealed data being used
ACTS = frozenset({"ticket.issue", "ticket.revoke", "key.release", "key.create", "key.shred", "directory"})
ACTS |= {"admin", "export", "request.open", "request.decide", "request.grant", "ledger.anchor"}
NUMBERS = frozenset({"time_ms", "number", "count", "state"})  # the fields that are numbers; others are text
WHO = ("ticket", "session", "instance", "principal")
KEPT = (*WHO, "event", "source", "module", "tenant", "method", "actor", "digest", "note", "rule")
TOGETHER_MS = 10_000  # accesses of one ticket that are so near to each other are looked at as one
USES = {"key.release": "release"} | dict.fromkeys(ACCESSES, "access")  # of a ticket; all others: commands
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)  # what bad JSON raises
UNKNOWN = ""  # the source of a run that stands for entries which can't be read

Event = dict[str, Any]  # what `typed` keeps of an event
_decode = json.JSONDecoder().raw_decode


@dataclass(slots=True)
class Run:
    """Events of one source with numbers that go up by one, from entry `entry` on."""

    entry: int
    source: str
    first: int
    last: int


@dataclass
class Extract:
    """What a stretch of the installation's log says."""

    runs: list[Run] = field(default_factory=list)
    lost: list[tuple[str, int, int]] = field(default_factory=list)  # source, first and last number
    acts: list[Event] = field(default_factory=list)
    tenants: Counter[str] = field(default_factory=Counter)  # entries of each, up to the end of its own log
    latest_ms: int = 0
    faults: list[Finding] = field(default_factory=list)


def extract(ends: dict[str, int], bundles: Bundles) -> Extract:
    """Read a stretch of entries. `ends`: the installation index that each tenant's own log ends with."""
    result = Extract()
    runs: dict[str, Run] = {}
    for start, entries in bundles:
        if entries is None:
            runs.clear()
            result.runs.append(Run(start, UNKNOWN, 0, 0))
            continue
        seen: set[tuple[Any, ...]] = set()
        for index, entry in enumerate(entries, start):
            try:
                fields = parse(entry)
                run, number, time_ms = runs.get(fields["source"]), fields["number"], fields["time_ms"]
                if run is not None and number == run.last + 1:
                    run.last = number
                else:
                    run = runs[fields["source"]] = Run(index, fields["source"], number, number)
                    result.runs.append(run)
                moment = (fields["source"], time_ms // TOGETHER_MS, *map(fields.get, WHO))
                if (moment not in seen or fields["event"] not in ACCESSES) and _look(index, fields, result):
                    seen.add(moment)
                result.latest_ms = max(result.latest_ms, time_ms)
                tenant = fields.get("tenant", "") if ends else ""
                if tenant and index <= ends.get(tenant, -1) and fields["event"] != "ledger.anchor":
                    result.tenants[tenant] += 1
            except UNREADABLE:
                result.faults.append(found("entry_unreadable", index))
    return result


def _look(index: int, fields: dict[str, Any], result: Extract) -> bool:
    """Extract what an event tells; say whether it is an access, like which others may be passed over."""
    event = fields["event"]
    access = event in ACCESSES and fields["source"].startswith("vault-")
    if access or event in ACTS:
        result.acts.append(typed(index, fields))
    elif event in ACCESSES:
        if event != "queue" or fields.get("ticket"):  # a relay tells of its deliveries, which are no access
            result.faults.append(found("false_witness", index, event=event, source=fields["source"]))
    elif fields.get("code") == "lost_events":
        first, _, last = fields["note"].partition("-")
        result.lost.append((str(fields["actor"]), int(first), int(last)))
    return access


def parse(entry: bytes) -> dict[str, Any]:
    """Read an entry; raise one of UNREADABLE unless it is one object that has each field once."""
    text = entry.decode()
    fields: dict[str, Any]
    fields, end = _decode(text)
    if end != len(text) or type(fields) is not dict or text.count('":') != len(fields):
        fields = json.loads(text, object_pairs_hook=_once)
    if type(fields["source"]) is not str or type(fields["number"]) is not int:
        raise TypeError("not an event")
    return fields


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a field stands there twice")
    return dict(pairs)


def typed(index: int, fields: dict[str, Any]) -> Event:
    """Keep of an event what the checks need: its entry's number, the kind of use that it is, and its fields,
    empty or 0 where it does not have them. Raises TypeError where one is of another type than it has."""
    if any(type(value) is not (int if name in NUMBERS else str) for name, value in fields.items()):
        raise TypeError("a field of another type than it has")
    event: Event = {name: fields.get(name, "") for name in KEPT}
    event |= {"what": USES.get(event["event"], "command"), "place": f"{event['session']} {event['instance']}"}
    return event | {"entry": index, "time_ms": fields["time_ms"], "count": fields.get("count", 0)}
