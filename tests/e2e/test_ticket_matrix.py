"""T1 on a whole running node: every module process, every method that needs a ticket, and no ticket.

Each module's genuine key and module ticket are in the attacker's hands. Every call is refused, gives nothing,
and each refusal stands in the ledger, told by the keeper that refused, with the name of who called.
"""

import asyncio
import importlib
import inspect
import json
import pkgutil
import sys
import time
import types
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple, Union, get_args, get_origin

import msgspec
import pytest
from tests import node_process
from tests.e2e.test_rogue_modules import BETRAYED, Rogue
from tests.node_process import Node, new_node

from postkeep import services
from postkeep.base.errors import PostkeepError
from postkeep.tickets.channel import Link
from postkeep.tickets.rules import KEEPERS, MODULES, RULES, audience_of, methods_of, rules_for
from postkeep.tickets.verify import ShownTicket, Verifier

pytestmark = pytest.mark.e2e

ENTRIES_MAX = 100_000  # more than the node writes here

TOLD_SECONDS = 20.0
"""Until the ledger must have heard of all: refusals are reported in the background."""


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    before = node_process.PROGRAM
    node_process.PROGRAM = [sys.executable, str(BETRAYED)]
    try:
        with new_node() as running:
            yield running
    finally:
        node_process.PROGRAM = before


# --- the smallest request of each method's type ---


def request_types() -> dict[str, type[msgspec.Struct]]:
    """Find the request type of every wire method, by the name that its docstring begins with."""
    methods = {rule.method for rule in RULES}
    found: dict[str, type[msgspec.Struct]] = {}
    for module in pkgutil.walk_packages(services.__path__, "postkeep.services."):
        for value in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(value) and issubclass(value, msgspec.Struct):
                names = (value.__doc__ or "").partition(":")[0].split("`")[1::2]
                found.update((name, value) for name in names if name in methods)
    return found


def smallest(wanted: Any) -> Any:
    """Make the least value of a field's type: sixteen zeros, 0, no characters, nothing in the list."""
    origin = get_origin(wanted)
    if origin in {Union, types.UnionType}:
        choices = get_args(wanted)
        return None if type(None) in choices else smallest(choices[0])
    if origin is not None:
        return smallest(get_args(wanted)[0]) if origin not in {list, tuple, dict, set} else origin()
    if inspect.isclass(wanted) and issubclass(wanted, msgspec.Struct):
        return smallest_request(wanted)
    if inspect.isclass(wanted) and issubclass(wanted, Enum):
        return next(iter(wanted))
    return {bytes: bytes(16), msgspec.Raw: msgspec.Raw(b"\xc0")}.get(wanted) or wanted()


def smallest_request(wanted: type[msgspec.Struct]) -> msgspec.Struct:
    """Make a request that the keeper's decoder takes: nothing but the ticket is missing."""
    request = wanted(
        **{field.name: smallest(field.type) for field in msgspec.structs.fields(wanted) if field.required}
    )
    return msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=wanted)


REQUESTS = {
    method: smallest_request(found)
    for method, found in request_types().items()
    if any(rule.method == method and rule.kind is not None for rule in RULES)
}


class Try(NamedTuple):
    """One call of the matrix, and what came of it."""

    instance: str
    keeper: str
    method: str
    code: str


def attempts_of(module: str, keeper: str) -> list[str]:
    """List the keeper's methods for which this module needs a ticket, its own to call or not."""
    return [
        method
        for method, lines in rules_for(keeper).items()
        if any(rule.kind is not None for rule in lines)
        and not any(rule.kind is None and module in rule.callers for rule in lines)
    ]


async def try_all(rogue: Rogue, keeper: str) -> list[Try]:
    """Call them all over one link, at once."""
    (path,) = rogue.node.data.rglob(f"{keeper}.sock")
    link = Link(rogue.identity, rogue.anchors, keeper, path)

    async def attempt(method: str) -> Try:
        code = "GIVEN"
        try:
            await link.call(method, REQUESTS[method], msgspec.Raw)
        except PostkeepError as error:
            code = error.code
        return Try(rogue.identity.instance, keeper, method, code)

    try:
        return await asyncio.gather(*map(attempt, attempts_of(rogue.identity.module, keeper)))
    finally:
        await link.close()


class Overhearing(Verifier):
    """A verifier that keeps the ticket which a keeper shows to everybody who connects."""

    shown = b""

    def verify(self, token: bytes, *, audience: str | None, holder: str) -> ShownTicket:
        """Keep it, then verify."""
        self.shown = token
        return super().verify(token, audience=audience, holder=holder)


def ticket_of_the_authority(caller: Rogue) -> bytes:
    """Overhear it: the authority gives itself its ticket only after it has been made and left its key."""
    verifier = Overhearing(caller.anchors)

    async def connect(link: Link) -> str:
        link._verifier = verifier
        return await link.peer_thumbprint()

    caller.act("authority", connect)
    return verifier.shown


def rogues(node: Node) -> list[Rogue]:
    """Take over every module process of the node: its key and its module ticket."""
    found = []
    for path in sorted(node.data.rglob("state/*/loot-*.json")):
        module, index = json.loads(path.read_text())["module"], int(path.stem.removeprefix("loot-"))
        found.append(Rogue(node, module, index))
    authority = next(rogue for rogue in found if rogue.identity.module == "authority")
    authority.identity.ticket = ticket_of_the_authority(Rogue(node, "mx"))
    assert all(rogue.identity.ticket for rogue in found)
    return found


def expected_code(module: str, keeper: str, method: str) -> str:
    if keeper not in audience_of(module):
        return "refused.audience"
    return "refused.no_ticket" if method in methods_of(module) else "refused.method"


def entries(node: Node) -> list[dict[str, Any]]:
    """Read the whole ledger."""
    shown: list[dict[str, Any]] = node.json("ledger", "show", "--count", str(ENTRIES_MAX))
    assert len(shown) < ENTRIES_MAX
    return shown


def told(node: Node, instances: set[str]) -> Counter[tuple[str, str, str, str]]:
    """Count the refusals in the ledger by who was refused, by whom, what, and why."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for entry in entries(node):
        # kms tells of refused keys by an event of their own
        if entry.get("outcome") == "refused" and entry.get("instance") in instances:
            keeper = entry["source"].partition(".")[0].partition("-")[0]
            key = (entry["instance"], keeper, entry.get("method", ""), entry["code"])
            counts[key] += entry.get("count", 1)
    return counts


def test_the_matrix_has_every_method_that_needs_a_ticket_and_every_module_of_the_node(node: Node) -> None:
    assert REQUESTS.keys() == {rule.method for rule in RULES if rule.kind is not None}
    taken = {rogue.identity.module for rogue in rogues(node)}
    assert taken >= {*KEEPERS, "mx", "submission", "imap", "relay", "steward"}
    assert taken <= set(MODULES)
    slots = {rogue.identity.instance.partition(".")[0] for rogue in rogues(node)}
    assert slots == set(node.processes())


def test_t1_no_module_process_gets_a_byte_from_any_method_without_a_ticket(node: Node) -> None:
    taken = rogues(node)
    keepers = sorted(
        {path.stem for path in node.data.rglob("*.sock")} & {m.partition(".")[0] for m in REQUESTS}
    )

    async def whole_matrix() -> list[Try]:
        tries: list[Try] = []
        for rogue in taken:
            for answers in await asyncio.gather(*(try_all(rogue, keeper) for keeper in keepers)):
                tries += answers
        return tries

    tries = asyncio.run(whole_matrix())
    module_of = {rogue.identity.instance: rogue.identity.module for rogue in taken}
    wrong = [
        one for one in tries if one.code != expected_code(module_of[one.instance], one.keeper, one.method)
    ]
    assert not wrong, wrong[:20]
    assert {one.method for one in tries} == REQUESTS.keys()
    # A caller that the keeper does not let in is refused before it has named a method.
    expected = Counter(
        (one.instance, one.keeper, "" if one.code == "refused.audience" else one.method, one.code)
        for one in tries
    )
    deadline = time.monotonic() + TOLD_SECONDS
    while (heard := told(node, set(module_of))) != expected and time.monotonic() < deadline:
        time.sleep(0.3)
    assert heard == expected
