"""Do the events add up? Every use has a ticket before it, every key given out an access beside it, every act
of an operator a command, every grant the approvals that it needs.

Modules report each for itself, and what they note may cross on its way: so a ticket counts as "before" when
its own time is, and it stands in the log at most ORDER_MS of log time later.
"""

from collections import Counter
from typing import Any, NamedTuple

from postkeep_verifier.events import Access, Act, Extract
from postkeep_verifier.tiles import Finding, found

ORDER_MS = 15_000  # a reporter waits 10 s for the ledger's answer and a second more before it sends again
CLOCK_MS = 11_000  # a revocation holds everywhere after 10 s; clocks of one machine's processes agree
LIFE_MS = 600_000  # the longest life of a ticket
USER_LIFE_MS = 300_000  # the life of user and staff tickets, where their issue does not say it
MAIL_KEYS = "kms.open_epochs"  # the one method that gives out keys to stored mail
GRANTS = frozenset({"destroy", "export", "custody", "key_restore", "dual_control"})
OWN_REPORTERS = {
    "key.release": "kms",
    "admin": "steward",
    "ledger.anchor": "ledger",
    "directory": "authority",
}
OWN_REPORTERS |= dict.fromkeys(("ticket.issue", "ticket.revoke"), "authority")
OWN_REPORTERS |= dict.fromkeys(("request.open", "request.decide", "request.grant"), "authority")
"""Who alone may report what: an instance's name begins with it."""


class Ticket(NamedTuple):
    """A ticket, as its issue tells it."""

    issued_ms: int
    expires_ms: int
    holders: tuple[str, str]
    """Who may show it: its instance; the steward for what the operator's command line was given."""
    tenant: str
    principal: str
    """Whose it is, where it is a user's; empty for all others, which may name whom they are about."""
    session: str


class Use(NamedTuple):
    """Something that was done with a ticket."""

    entry: int
    what: str
    time_ms: int
    session: str
    instance: str
    principal: str


class Request(NamedTuple):
    """A request for a dangerous act, and who has said yes."""

    actor: str
    digest: str
    needed: int
    by_policy: bool
    approvers: set[str]


class Reconcile:
    """Takes the extracts in order, keeps what is still alive, and finds what does not add up."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self.now_ms = 0
        """The latest time in the log so far."""
        self._tickets: dict[str, Ticket] = {}
        self._waiting: dict[str, list[Use]] = {}
        self._revoked: dict[str, int] = {}
        self._accessed: dict[str, int] = {}
        self._unread: dict[str, list[Use]] = {}
        self._commands: dict[str, int] = {}
        self._requests: dict[str, Request] = {}
        self._granted: dict[str, int] = {}

    def take(self, extract: Extract) -> None:
        """Go through the events of a stretch, then forget what nothing can refer to any more."""
        for act in extract.acts:
            if isinstance(act, Access):
                self._access(act)
            else:
                self._act(act)
        self.now_ms = max(self.now_ms, extract.latest_ms)
        self._sweep()

    @property
    def open(self) -> int:
        """How many uses the end of the log leaves open: too young to be judged."""
        return sum(map(len, [*self._waiting.values(), *self._unread.values()]))

    def _access(self, access: Access) -> None:
        index, time_ms, ticket, session, instance, principal = access
        self.now_ms = max(self.now_ms, time_ms)
        self.counts["accesses"] += 1
        self._accessed[f"{session} {instance}"] = time_ms
        for use in self._unread.pop(f"{session} {instance}", ()):
            if use.time_ms < time_ms - LIFE_MS:
                self.findings.append(found("release_without_access", use.entry))
        self._use(ticket, Use(index, "access", time_ms, session, instance, principal))

    def _act(self, act: Act) -> None:
        index, fields = act
        event, source = fields["event"], fields["source"]
        self.now_ms = max(self.now_ms, fields["time_ms"])
        if source.rpartition("-")[0] != OWN_REPORTERS.get(event, source.rpartition("-")[0]):
            self.findings.append(found("false_witness", index, event=event, source=source))
        elif event == "ticket.issue":
            self._issue(index, fields)
        elif event == "ticket.revoke":
            self._revoked[fields.get("note", "")] = fields["time_ms"]
        elif event == "key.release":
            self._release(index, fields)
        elif event.startswith("request."):
            self._request(index, event, fields)
        elif event != "ledger.anchor" and fields.get("module") != "authority":  # which keeps its own house
            self._command(index, event, fields)

    def _issue(self, index: int, fields: dict[str, Any]) -> None:
        ticket, note, issued = fields.get("ticket", ""), fields.get("note", ""), fields["time_ms"]
        life = 1000 * fields.get("count", 0) or (USER_LIFE_MS if note in ("user", "staff") else LIFE_MS)
        if (note in GRANTS or fields.get("kind") == "grant") and ticket not in self._granted:
            self.findings.append(found("grant_without_approval", index, what=note))
        if note == "staff" and ticket not in self._granted:
            self.counts["privileged"] += 1
        instance = fields.get("instance", "")
        holders = (instance, "steward-" if fields.get("module") == "cli" else instance)
        tenant, principal = [fields.get(name, "") * (note == "user") for name in ("tenant", "principal")]
        self.counts["tickets"] += 1
        self._tickets[ticket] = Ticket(
            issued, issued + life, holders, tenant, principal, fields.get("session", "")
        )
        for use in self._waiting.pop(ticket, ()):
            if use.time_ms < self.now_ms - ORDER_MS:
                self.findings.append(found("no_ticket", use.entry, what=use.what))
            else:
                self._judge(self._tickets[ticket], use)

    def _release(self, index: int, fields: dict[str, Any]) -> None:
        method, session, instance = (fields.get(name, "") for name in ("method", "session", "instance"))
        use = Use(index, "release", fields["time_ms"], session, instance, fields.get("principal", ""))
        if method != MAIL_KEYS:  # a module's own key, which opens no mail: no access belongs to it
            self.counts[f"own {method}"] += 1
            if fields.get("module") == "authority":
                return  # it asks for its own key at its start, with a ticket that nobody else could give it
        else:
            self.counts["releases"] += 1
            if self._accessed.get(f"{session} {instance}", 0) < use.time_ms - LIFE_MS:
                self._unread.setdefault(f"{session} {instance}", []).append(use)
        self._use(fields.get("ticket", ""), use)

    def _request(self, index: int, event: str, fields: dict[str, Any]) -> None:
        name, _, word = fields.get("note", "").partition(" ")
        actor, digest = fields.get("actor", ""), fields.get("digest", "")
        if event == "request.open":
            by_policy = word.endswith("by-policy")
            self._requests[name] = Request(actor, digest, fields.get("count", 0), by_policy, set())
            return
        request = self._requests.get(name)
        if event == "request.decide":
            if request and (word, digest) == ("approve", request.digest):
                request.approvers.update({actor} - {"", request.actor})
            return
        self._granted[fields.get("ticket", "")] = fields["time_ms"]
        self.counts["grants"] += 1
        if request is None or digest != request.digest:
            self.findings.append(found("grant_without_request", index, what=word))
        elif request.by_policy:
            self.counts["by policy"] += 1
        elif len(request.approvers) < max(1, request.needed):
            votes = {"have": len(request.approvers), "need": max(1, request.needed)}
            self.findings.append(found("grant_without_votes", index, what=word, **votes))

    def _command(self, index: int, event: str, fields: dict[str, Any]) -> None:
        """Check an operator's command (`admin`), or what a keeper did on one."""
        session, ticket = fields.get("session", ""), fields.get("ticket", "")
        if event == "admin":
            self.counts["commands"] += 1
            self._commands[session] = fields["time_ms"]
        elif session and session not in self._commands:
            self.findings.append(found("act_without_command", index, event=event))
        self._use(ticket, Use(index, "command", fields["time_ms"], session, "", ""))

    def _use(self, ticket: str, use: Use) -> None:
        known = self._tickets.get(ticket)
        if known:
            self._judge(known, use)
        else:
            self._waiting.setdefault(ticket, []).append(use)

    def _judge(self, ticket: Ticket, use: Use) -> None:
        if not ticket.issued_ms - CLOCK_MS <= use.time_ms <= ticket.expires_ms + CLOCK_MS:
            self.findings.append(found("ticket_expired", use.entry, what=use.what))
            return
        own, deputy = ticket.holders
        foreign = use.instance != own and not use.instance.startswith(deputy)
        person = ticket.principal not in ("", use.principal)
        if use.what != "command" and (foreign or person or use.session != ticket.session):
            self.findings.append(found("ticket_of_another", use.entry, what=use.what))
        named = (("session", ticket.session), ("user", ticket.principal), ("tenant", ticket.tenant))
        for subject in map(" ".join, (*named, ("instance", own))):
            if ticket.issued_ms < self._revoked.get(subject, 0) < use.time_ms - CLOCK_MS:
                self.findings.append(found("ticket_revoked", use.entry, what=use.what))

    def _sweep(self) -> None:
        now = self.now_ms
        for use in _overdue(self._waiting, now - ORDER_MS):
            self.findings.append(found("no_ticket", use.entry, what=use.what))
        for use in _overdue(self._unread, now - LIFE_MS):
            self.findings.append(found("release_without_access", use.entry))
        old = now - 2 * LIFE_MS
        self._tickets = {name: item for name, item in self._tickets.items() if item.expires_ms > old}
        for times in (self._accessed, self._commands, self._revoked, self._granted):
            for name in [name for name, time_ms in times.items() if time_ms <= old]:
                del times[name]


def _overdue(table: dict[str, list[Use]], before_ms: int) -> list[Use]:
    """Take out of a table what was done before a time."""
    late = [use for uses in table.values() for use in uses if use.time_ms < before_ms]
    for key, uses in list(table.items()):
        table[key] = [use for use in uses if use.time_ms >= before_ms]
        if not table[key]:
            del table[key]
    return late
