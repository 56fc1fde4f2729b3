"""Measure the chain of checks: `python bench/ticket_cost.py` prints microseconds, p50 and p99.

A whole judgement of a keeper over one call (`vault.content`), module ticket and user ticket, from the octets
to the Grant; no frame, no socket. Warm: both tickets were seen before, so that their signatures are
remembered; all the rest is checked anew. Cold: the first sight of the user's ticket, its signature included.
Goals: warm 20 us or less, cold 300 us or less. T9 of the acceptance.
"""

import time
from collections.abc import Callable
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postkeep.base.clock import SystemClock
from postkeep.base.ids import new_id
from postkeep.services.authority.api import Revocation
from postkeep.services.vault.api import FetchContent, Range
from postkeep.tickets.channel.frames import Call
from postkeep.tickets.channel.judge import Case, Judge
from postkeep.tickets.clear import Grant
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.rules import RULES

WARM_ROUNDS = 50_000
COLD_ROUNDS = 2_000
REVOKED_SESSIONS = 500
"""Of others: a busy installation's sign-outs of the last minutes."""
METHOD = "vault.content"


class Wire:
    """The caller's connection: proved to be the holder's."""

    uid: int | None = 0
    pid: int | None = 1
    certificate = ""

    def __init__(self, identity: ModuleIdentity) -> None:
        self.public_key, self.thumbprint = identity.public_key, identity.thumbprint

    def on_close(self, callback: Callable[[], None]) -> None:
        """Never closes."""


async def nothing(_grant: Grant, _request: Any) -> msgspec.Struct:
    """Stand for the handler: it is not reached here."""
    raise AssertionError


def measure() -> dict[str, tuple[float, float]]:
    """Return microseconds per judgement as (p50, p99), warm and cold."""
    key = Ed25519PrivateKey.generate()
    anchors = Anchors()
    anchors.trust("authority", key.public_key().public_bytes_raw())
    mint, view = Mint(key.sign), RevocationView()
    view.heard(1)
    for _ in range(REVOKED_SESSIONS):
        view.learn(Revocation("session", new_id().hex(), 1))
    identity = ModuleIdentity("imap", "imap-1.aaaa")
    identity.ticket = mint.module("imap", identity.instance, identity.thumbprint)[1]
    rules = tuple(rule for rule in RULES if rule.method == METHOD)
    judge = Judge("vault", anchors, {METHOD: (FetchContent, nothing)}, view, SystemClock(), rules)
    wire, tenant = Wire(identity), new_id()

    def call() -> Case:
        person = new_id()
        ticket = mint.user(
            "imap", identity.instance, identity.thumbprint, tenant=tenant, principal=person, session=new_id()
        )[1]
        arguments = msgspec.msgpack.encode(FetchContent(person, new_id(), [Range(1)]))
        return Case(Call(1, METHOD, msgspec.Raw(arguments), ticket), identity.ticket, wire)

    cases = [call() for _ in range(COLD_ROUNDS)]
    first = cases[0]
    return {
        "cold": percentiles(judge, cases),
        "warm": percentiles(judge, [Case(first.call, first.module_token, wire) for _ in range(WARM_ROUNDS)]),
    }


def percentiles(judge: Judge, cases: list[Case]) -> tuple[float, float]:
    """Judge each case and return the median and the 99th percentile, microseconds."""
    judge._revocations.heard(1)
    taken = []
    for case in cases:
        began = time.perf_counter_ns()
        judge.judge(case)
        taken.append((time.perf_counter_ns() - began) / 1000)
    taken.sort()
    return taken[len(taken) // 2], taken[len(taken) * 99 // 100]


if __name__ == "__main__":
    for name, (middle, slow) in measure().items():
        print(f"{name}: p50 {middle:.1f} us, p99 {slow:.1f} us")
