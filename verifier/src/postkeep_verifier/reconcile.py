"""Do the events add up? Every source numbers its events 1, 2, 3 and so on; every use has a ticket before it,
every key given out an access beside it, every act of an operator a command, every grant its approvals.

Modules report each for itself, and what they note may cross on its way: so a ticket counts as "before" when
its own time is, and it stands in the log at most ORDER_MS of log time later."""

from collections import Counter

from postkeep_verifier.events import ACCESSES, UNKNOWN, Event, Extract
from postkeep_verifier.tree import Finding, found

ORDER_MS = 15_000  # a reporter waits 10 s for the ledger's answer and a second more before it sends again
CLOCK_MS = 11_000  # a revocation holds everywhere after 10 s; clocks of one machine's processes agree
LIFE_MS = 600_000  # the longest life of a ticket
USER_LIFE_MS = 300_000  # the life of user and staff tickets, where their issue does not say it
MAIL_KEYS = "kms.open_epochs"  # the one method that gives out keys to stored mail
GRANTS = frozenset({"destroy", "export", "custody", "key_restore", "ledger_restore", "dual_control"})
PERSONAL = ("user", "export")  # tickets for one person's mail; with others, whom it is about may be named
# Who alone may report what: an instance's name begins with it.
OWN_REPORTERS = {"key.release": "kms", "admin": "steward", "ledger.anchor": "ledger", "export": "vault"}
OWN_REPORTERS |= dict.fromkeys(("ticket.issue", "ticket.revoke", "directory"), "authority")
OWN_REPORTERS |= dict.fromkeys(("request.open", "request.decide", "request.grant"), "authority")


class Reconcile:
    """Takes the extracts in order, keeps what is still alive, and finds what does not add up."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.counts = Counter(lost=0, sources=0, open=0, anchors=0)
        self.anchors: dict[str, list[Event]] = {}  # by tenant
        self.copied: Counter[str] = Counter()  # by tenant: entries up to the end of its own log
        self.now_ms = 0  # the latest time in the log so far
        self._last: dict[str, int] = {}  # by source: its last number; -1 where any may follow
        self._lost: dict[tuple[str, int], int] = {}  # recorded gaps: source and first number, the last
        self._blind = False  # whether entries can't be read
        self._tickets: dict[str, Event] = {}  # issues, with the end of the ticket's life
        self._waiting: dict[str, list[Event]] = {}  # by ticket: uses before its issue has come
        self._unread: dict[str, list[Event]] = {}  # by session and instance: releases before an access
        self._requests: dict[str, tuple[Event, set[str]]] = {}  # with those who have said yes
        self._accessed: dict[str, int] = {}  # these four: when it was last
        self._commands: dict[str, int] = {}
        self._revoked: dict[str, int] = {}
        self._granted: dict[str, int] = {}

    def take(self, extract: Extract) -> None:
        """Go through the events of a stretch, then forget what nothing can refer to any more."""
        self.findings += extract.faults
        self.copied.update(extract.tenants)
        self._number(extract)
        for event in extract.acts:
            self.now_ms = max(self.now_ms, event["time_ms"])
            self._act(event["event"], event)
        self.now_ms = max(self.now_ms, extract.latest_ms)
        for use in _overdue(self._waiting, self.now_ms - ORDER_MS):
            self.findings.append(found("no_ticket", use["entry"], what=use["what"]))
        for use in _overdue(self._unread, self.now_ms - LIFE_MS):
            self.findings.append(found("release_without_access", use["entry"]))
        self.counts["open"] = sum(map(len, [*self._waiting.values(), *self._unread.values()]))
        old = self.now_ms - 2 * LIFE_MS
        self._tickets = {name: ticket for name, ticket in self._tickets.items() if ticket["expires_ms"] > old}
        for times in (self._accessed, self._commands, self._revoked, self._granted):
            for name in [name for name, time_ms in times.items() if time_ms <= old]:
                del times[name]

    def _number(self, extract: Extract) -> None:
        """Find missing numbers: events that were lost, or kept out before anything was signed."""
        for source, first, last in extract.lost:
            self._lost[source, first] = last
            self.counts["lost"] += last - first + 1
        for run in extract.runs:
            if run.source == UNKNOWN:
                self._blind, self._last = True, dict.fromkeys(self._last, -1)
                continue
            due = self._last.get(run.source, -1 if self._blind else 0) + 1
            self._last[run.source] = run.last
            if due > 0 and run.first < due:
                self.findings.append(found("number_repeated", run.entry, source=run.source, number=run.first))
            elif 0 < due < run.first and self._lost.pop((run.source, due), None) != run.first - 1:
                gap = found("number_gap", run.entry, source=run.source, first=due, last=run.first - 1)
                self.findings.append(gap)
        self.counts["sources"] = len(self._last)

    def _act(self, kind: str, event: Event) -> None:
        reporter = event["source"].rpartition("-")[0]
        if OWN_REPORTERS.get(kind, reporter) != reporter:
            self.findings.append(found("false_witness", event["entry"], event=kind, source=event["source"]))
        elif kind in ACCESSES:
            self._access(event)
        elif kind == "ticket.issue":
            self._issue(event)
            privileged = event["note"] in GRANTS or event["rule"].startswith("grant ")
            if privileged and event["ticket"] not in self._granted:
                self.findings.append(found("grant_without_approval", event["entry"], what=event["note"]))
        elif kind == "ticket.revoke":
            self._revoked[event["note"]] = event["time_ms"]
        elif kind == "key.release":
            self._release(event)
        elif kind.startswith("request."):
            self._request(kind, event)
        elif kind == "ledger.anchor":
            self.counts["anchors"] += 1
            self.anchors.setdefault(event["tenant"], []).append(event)
        elif event["module"] != "authority":  # which keeps its own house
            self._command(kind, event)

    def _access(self, event: Event) -> None:
        self.counts["accesses"] += 1
        self._accessed[event["place"]] = event["time_ms"]
        for use in self._unread.pop(event["place"], ()):
            if use["time_ms"] < event["time_ms"] - LIFE_MS:
                self.findings.append(found("release_without_access", use["entry"]))
        self._use(event)

    def _issue(self, event: Event) -> None:
        name = event["ticket"]
        life = 1000 * event["count"] or (USER_LIFE_MS if event["note"] in ("user", "staff") else LIFE_MS)
        self.counts["tickets"] += 1
        self.counts["privileged"] += event["note"] == "staff" and name not in self._granted
        self._tickets[name] = {**event, "expires_ms": event["time_ms"] + life}
        for use in self._waiting.pop(name, ()):
            if use["time_ms"] < self.now_ms - ORDER_MS:
                self.findings.append(found("no_ticket", use["entry"], what=use["what"]))
            else:
                self._judge(self._tickets[name], use)

    def _release(self, event: Event) -> None:
        if event["method"] != MAIL_KEYS:  # a module's own key, which opens no mail: no access belongs to it
            self.counts.update(["own", f"own {event['method']}"])
            if event["module"] == "authority":
                return  # it asks for its own key at its start, with a ticket that nobody else could give it
        else:
            self.counts["releases"] += 1
            if self._accessed.get(event["place"], 0) < event["time_ms"] - LIFE_MS:
                self._unread.setdefault(event["place"], []).append(event)
        self._use(event)

    def _request(self, kind: str, event: Event) -> None:
        name, _, word = event["note"].partition(" ")
        if kind == "request.open":
            self._requests[name] = event, set()
            return
        request, approvers = self._requests.get(name, (None, set()))
        same = request is not None and event["digest"] == request["digest"]
        if kind == "request.decide":
            if request and same and word == "approve":
                approvers |= {event["actor"]} - {"", request["actor"]}
            return
        self._granted[event["ticket"]] = event["time_ms"]
        self.counts["grants"] += 1
        if not request or not same:
            self.findings.append(found("grant_without_request", event["entry"], what=word))
        elif request["note"].endswith(" by-policy"):
            self.counts["by policy"] += 1
        elif len(approvers) < (need := max(1, request["count"])):
            few = found("grant_without_votes", event["entry"], what=word, have=len(approvers), need=need)
            self.findings.append(few)

    def _command(self, kind: str, event: Event) -> None:
        """Check an operator's command (`admin`), or what a keeper did on one."""
        if kind == "admin":
            self.counts["commands"] += 1
            self._commands[event["session"]] = event["time_ms"]
        elif event["session"] and event["session"] not in self._commands:
            self.findings.append(found("act_without_command", event["entry"], event=kind))
        self._use(event)

    def _use(self, use: Event) -> None:
        if ticket := self._tickets.get(use["ticket"]):
            self._judge(ticket, use)
        else:
            self._waiting.setdefault(use["ticket"], []).append(use)

    def _judge(self, issue: Event, use: Event) -> None:
        if not issue["time_ms"] - CLOCK_MS <= use["time_ms"] <= issue["expires_ms"] + CLOCK_MS:
            self.findings.append(found("ticket_expired", use["entry"], what=use["what"]))
            return
        own = {name: issue[name] for name in ("session", "instance", "tenant", "principal")}
        if issue["note"] not in PERSONAL:
            own |= {"tenant": "", "principal": ""}
        # The steward shows what the operator's command line was given.
        holders = (own["instance"], "steward-" if issue["module"] == "cli" else own["instance"])
        foreign = not use["instance"].startswith(holders)
        person = own["principal"] not in ("", use["principal"])
        if use["what"] != "command" and (foreign or person or use["session"] != own["session"]):
            self.findings.append(found("ticket_of_another", use["entry"], what=use["what"]))
        own["user"] = own.pop("principal")
        for subject in map(" ".join, own.items()):
            if issue["time_ms"] < self._revoked.get(subject, 0) < use["time_ms"] - CLOCK_MS:
                self.findings.append(found("ticket_revoked", use["entry"], what=use["what"]))


def _overdue(table: dict[str, list[Event]], before_ms: int) -> list[Event]:
    """Take out of a table what was done before a time."""
    late = [use for uses in table.values() for use in uses if use["time_ms"] < before_ms]
    young = {key: [use for use in uses if use["time_ms"] >= before_ms] for key, uses in table.items()}
    table.clear()
    table.update((key, uses) for key, uses in young.items() if uses)
    return late
