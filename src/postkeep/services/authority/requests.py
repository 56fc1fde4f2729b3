"""Requests for dangerous acts, as values: `decide` is the whole state machine, pure.

    open -> approved -> granted -> closed
    open, approved -> declined, withdrawn

Nothing is granted after the end that the request itself names.

A request is approved when as many approvals stand as it needs. An approval stands while whoever gave it is
an approver in good standing, and never when given by the requester or by whom the request is about. So the
approvals are counted anew whenever a grant is asked for: an approver who was disabled meanwhile does not
count. What a request needs is the most of what held when it was opened and what holds now, so that nobody
keeps requests in stock from before dual control was turned on.
"""

from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from postkeep.base.errors import ApprovalNeededError, InvalidInputError, RefusedError

KINDS: Final = ("destroy", "export", "custody", "key_restore", "ledger_restore", "dual_control", "staff")

REQUEST_SECONDS: Final = 72 * 3600
"""How long approvals may be collected and used: over a weekend, not over a holiday."""

RESUME_SECONDS: Final = 7 * 86_400
"""How long an act that has begun under a grant may be granted again, so that it can be finished."""

APPROVALS_NEEDED: Final = 2
"""Under dual control: two people beside the requester."""

VOTES_MAX: Final = 16
"""Votes on one request: each approver once, and room for some who were disabled after they voted."""

DIGEST_BYTES: Final = 32  # SHA-256
TEXT_CHARACTERS_MAX: Final = 500
"""Characters of a summary or a reason: a few sentences."""


class State(StrEnum):
    """Where a request stands. That its time has run out is no state but a look at the clock."""

    OPEN = "open"
    APPROVED = "approved"
    GRANTED = "granted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    CLOSED = "closed"


class Act(StrEnum):
    """What may happen to a request."""

    APPROVE = "approve"
    DECLINE = "decline"
    WITHDRAW = "withdraw"
    GRANT = "grant"
    CLOSE = "close"


class Vote(msgspec.Struct, frozen=True, array_like=True):
    """One approver's word."""

    approver: bytes
    approve: bool
    at_ms: int
    reason: str = ""


class Request(msgspec.Struct, frozen=True, array_like=True):
    """One request, with its end and its votes inside. Sealed as a whole where it is stored."""

    id: bytes
    kind: str
    tenant: bytes
    """NOBODY: the installation."""
    principal: bytes
    """The person, or the staff member, that it is about; NOBODY: none."""
    digest: bytes
    """SHA-256 of exactly what is to be done."""
    summary: str
    requester: bytes
    """A staff member; NOBODY: the machine's own operator."""
    needed: int
    """Approvals: the most of what the policy said when it was opened and what the act itself asks for."""
    opened_ms: int
    expires_ms: int
    state: State = State.OPEN
    votes: tuple[Vote, ...] = ()
    granted_ms: int = 0
    """When it was granted first; 0: never."""
    closed_ms: int = 0


class Policy(NamedTuple):
    """What holds now: how many approvals are needed, and whose count."""

    needed: int
    approvers: frozenset[bytes]
    """Staff members with the approver's role, enabled."""


def open_request(request: Request, policy: Policy) -> Request:
    """Return a checked new request; where no approvals are needed it is approved at once.

    `request.needed`: what whoever does the act asks for at least.
    """
    if request.kind not in KINDS:
        raise InvalidInputError("not a kind of request")
    if len(request.digest) != DIGEST_BYTES:
        raise InvalidInputError("a digest has 32 octets")
    check_text(request.summary)
    if request.expires_ms <= request.opened_ms:
        raise InvalidInputError("a request ends after it has begun")
    if not 0 <= request.needed <= APPROVALS_NEEDED:
        raise InvalidInputError(f"at most {APPROVALS_NEEDED} approvals are asked for")
    least = needed(request, policy)
    state = State.OPEN if least else State.APPROVED
    return msgspec.structs.replace(request, needed=least, state=state, votes=())


def check_text(text: str) -> str:
    """Return a summary or reason; raise InvalidInputError if it is too long or has odd characters."""
    if len(text) > TEXT_CHARACTERS_MAX or not text.isprintable():
        raise InvalidInputError(
            public_text=f"A summary or reason has at most {TEXT_CHARACTERS_MAX} printable characters."
        )
    return text


def standing(request: Request, policy: Policy) -> frozenset[bytes]:
    """Return whose approvals stand."""
    return frozenset(
        vote.approver
        for vote in request.votes
        if vote.approve
        and vote.approver in policy.approvers
        and vote.approver not in {request.requester, request.principal}
    )


def needed(request: Request, policy: Policy) -> int:
    """Return how many approvals a request needs now."""
    return max(request.needed, policy.needed)


def missing(request: Request, policy: Policy) -> int:
    """Return how many approvals are missing now."""
    return max(0, needed(request, policy) - len(standing(request, policy)))


def usable(request: Request, now_ms: int) -> bool:
    """Whether a request can still lead to a grant, as far as the clock and its state go."""
    if request.state is State.GRANTED:
        return now_ms < request.granted_ms + RESUME_SECONDS * 1000
    return request.state in {State.OPEN, State.APPROVED} and now_ms < request.expires_ms


def decide(  # noqa: PLR0917 - a state, an act, its author, the time and the policy: what a decision is made of
    request: Request, act: Act, by: bytes, now_ms: int, policy: Policy, reason: str = ""
) -> Request:
    """Return the request after an act; RefusedError, with a text for whoever acts, if it may not happen.

    `by` is the staff member who acts (NOBODY: the machine's own operator); grants and closings are the
    module's that holds the request, and ask for nobody.
    """
    if act is Act.CLOSE:
        return _close(request, now_ms)
    if not usable(request, now_ms):
        raise _refused("ended", _ended(request))
    if act is Act.GRANT:
        return _grant(request, now_ms, policy)
    if act is Act.WITHDRAW:
        return _withdraw(request, by, now_ms)
    return _vote(request, act, by, now_ms, policy, check_text(reason))


def _vote(  # noqa: PLR0917 - see decide
    request: Request, act: Act, by: bytes, now_ms: int, policy: Policy, reason: str
) -> Request:
    if by == request.requester:
        raise _refused("own", "Nobody decides on a request of their own.")
    if by == request.principal:
        raise _refused("about_you", "Nobody decides on a request that is about themselves.")
    if by not in policy.approvers:
        raise _refused("not_approver", "Only an enabled approver decides on requests.")
    if any(vote.approver == by for vote in request.votes):
        raise _refused("voted", "You have decided on this request already.")
    if len(request.votes) >= VOTES_MAX:
        raise _refused("votes", "The request has too many votes. Withdraw it and ask again.")
    vote = Vote(by, act is Act.APPROVE, now_ms, reason)
    after = msgspec.structs.replace(request, votes=(*request.votes, vote))
    if act is Act.DECLINE:
        if request.state is State.GRANTED:
            raise _refused("begun", "It is too late to decline: the act has begun.")
        return msgspec.structs.replace(after, state=State.DECLINED, closed_ms=now_ms)
    if request.state is State.OPEN and not missing(after, policy):
        return msgspec.structs.replace(after, state=State.APPROVED)
    return after


def _withdraw(request: Request, by: bytes, now_ms: int) -> Request:
    if by != request.requester:
        raise _refused("not_yours", "Only who made a request can withdraw it.")
    if request.state is State.GRANTED:
        raise _refused("begun", "It is too late to withdraw: the act has begun.")
    return msgspec.structs.replace(request, state=State.WITHDRAWN, closed_ms=now_ms)


def _grant(request: Request, now_ms: int, policy: Policy) -> Request:
    if missing(request, policy):
        raise approval_needed(request, policy)
    return msgspec.structs.replace(request, state=State.GRANTED, granted_ms=request.granted_ms or now_ms)


def _close(request: Request, now_ms: int) -> Request:
    if request.state is State.CLOSED:
        return request
    if request.state is not State.GRANTED:
        raise _refused("not_granted", "Only what was granted can be closed.")
    return msgspec.structs.replace(request, state=State.CLOSED, closed_ms=now_ms)


def approval_needed(request: Request, policy: Policy) -> ApprovalNeededError:
    """Make the error that tells whoever asked which request waits, and for what."""
    name = request.id.hex()
    then = (
        "The order then goes on by itself." if request.kind == "destroy" else "Then give this command again."
    )
    return ApprovalNeededError(
        "approvals are missing",
        code=f"approval_needed.{name}",
        public_text=f"This needs {missing(request, policy)} more approval(s). The request is {name}. "
        f"An approver says: postkeep --as NAME approve {name}. {then}",
    )


def _ended(request: Request) -> str:
    texts = {
        State.DECLINED: "The request was declined.",
        State.WITHDRAWN: "The request was withdrawn.",
        State.CLOSED: "The request was carried out already.",
    }
    return texts.get(request.state, "The request's time has run out. Ask again.")


def _refused(code: str, text: str) -> RefusedError:
    return RefusedError(text, code=f"refused.request_{code}", public_text=text)
