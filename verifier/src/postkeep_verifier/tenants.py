"""The log that a company is given: copies of the installation's entries about it, in their order.

Each entry is `{"index":N,"entry":E}`, E being the installation's entry N, octet for octet. Its heads are
anchored in the installation's log by events `ledger.anchor` (count: the size, digest: the root).
"""

import base64
import json
import re
from functools import partial
from pathlib import Path

from postkeep_verifier.events import Event, parse, typed
from postkeep_verifier.merkle import leaf_hash, root_from_inclusion
from postkeep_verifier.note import Checkpoint
from postkeep_verifier.tiles import WIDTH, Bundles, Finding, found, read_bundle, read_tile
from postkeep_verifier.tree import Tree

SIGNED_MS = 60_000  # a head that was anchored is signed within some seconds

_COPY = re.compile(rb'\{"index":(0|[1-9][0-9]{0,18}),"entry":(\{.*\})\}\Z', re.DOTALL)

Copies = tuple[list[tuple[int, int]], list[Finding]]
"""The place and index of each copy, and what is wrong with them."""


def last_index(log: Path, size: int) -> int:
    """Return the installation's index of the last copy; -1 where it can't be read (which is found later)."""
    bundle = read_bundle(log, (size - 1) // WIDTH, (size - 1) % WIDTH + 1) if size else None
    match = _COPY.match(bundle[0][-1]) if bundle and bundle[0] else None
    return int(match[1]) if match else -1


def check_tenant(
    log: Path, head: Checkpoint, anchors: list[Event], now_ms: int, *, installation: Path | None, jobs: int
) -> list[Finding]:
    """Check a tenant's log: its tree, its copies against the installation's hashes, its anchors.

    `now_ms`: the end of the installation's log. Anchors just before it may have no signed head yet.
    """
    tree = Tree(log, head, [event["count"] for event in anchors])
    findings, last, tenant = [], -1, log.parent.name

    def take(copies: Copies) -> None:
        nonlocal last
        findings.extend(copies[1])
        for place, index in copies[0]:
            if index <= last:
                findings.append(found("copy_out_of_order", place, tenant=tenant))
            last = index

    tree.read(partial(_read_copies, installation, tenant), take, jobs)
    for event in anchors:
        index, size = event["entry"], event["count"]
        if size > head.size:
            if event["time_ms"] <= now_ms - SIGNED_MS:  # else its head is signed a moment later
                findings.append(found("anchor_beyond", index, tenant=tenant, size=size))
        elif not tree.blind and (size < 0 or tree.roots[size].hex() != event["digest"]):
            findings.append(found("anchor_wrong", index, tenant=tenant, size=size))
    if not anchors and head.size:
        findings.append(found("anchor_missing", None, tenant=tenant))
    return tree.findings + findings


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


def read_export(directory: Path, head: Checkpoint) -> tuple[str, list[Event], list[Finding]]:
    """Read what a company's copy brings along: whose it is, and anchors, each with its proof under a head."""
    anchors, findings = [], []
    told = json.loads((directory / "anchors.json").read_bytes())
    for item in told["anchors"]:
        entry, proof = base64.b64decode(item["entry"]), [base64.b64decode(step) for step in item["proof"]]
        event = typed(item["index"], parse(entry))
        anchors.append(event)
        root = root_from_inclusion(item["index"], leaf_hash(entry), item["size"], proof)
        right = (event["event"], event["tenant"]) == ("ledger.anchor", told["tenant"])
        if root != head.root or item["size"] != head.size or not right:
            findings.append(found("anchor_unproved", item["index"]))
    return str(told["tenant"]), anchors, findings
