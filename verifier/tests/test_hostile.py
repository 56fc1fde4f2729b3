"""Whatever a ledger's owner has written and signed, or done to the files: an answer, and never a crash."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from verifier.tests import made_ledger as made

from postkeep_verifier.cli import main

KEYS = [option for key in made.KEYS for option in ("--key", key)]
ODD = st.sampled_from(
    [None, True, -1, 2**70, 1.5, "", "x", "\x00", [], {}, ["x"], {"a": 1}, "99999999999999999-1"]
)
NAMES = st.sampled_from(
    [
        *("event", "time_ms", "source", "number", "ticket", "session", "instance", "principal", "tenant"),
        *("note", "count", "digest", "actor", "method", "module", "code", "outcome"),
    ]
)
EVENTS = st.sampled_from(
    [
        *("ticket.issue", "ticket.revoke", "key.release", "mail.read", "admin", "directory", "queue"),
        *("request.open", "request.decide", "request.grant", "ledger.anchor", "node", "heartbeat"),
    ]
)


def story() -> list[dict[str, Any]]:
    told = made.Story()
    for number in range(3):
        told.session(number + 1, number)
    told.tell("ledger.anchor", "ledger-0.aa", tenant=made.name_of(7), count=1, digest="00" * 32)
    told.tell("node", "ledger-0.aa", code="lost_events", actor="mx-0.aa", note="1-2")
    told.tell("request.grant", "authority-0.aa", note="a destroy", ticket="t", digest="d")
    told.later()
    return told.events


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 15), NAMES, ODD | EVENTS), min_size=1, max_size=6))
def test_events_with_odd_values(changes: list[tuple[int, str, Any]]) -> None:
    events = story()
    for index, name, value in changes:
        events[index % len(events)][name] = value
    with tempfile.TemporaryDirectory() as directory:
        made.write(Path(directory), [json.dumps(event).encode() for event in events])
        assert main([directory, *KEYS, "--json"]) in (0, 1)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_files_with_odd_octets(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        made.write(Path(directory), [json.dumps(event).encode() for event in story()])
        files = sorted(path for path in Path(directory).rglob("*") if path.is_file())
        path = data.draw(st.sampled_from(files))
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        content = content[: data.draw(st.integers(0, len(content)))]
        path.write_bytes(content)
        assert main([directory, *KEYS, "--json"]) in (1, 2)
