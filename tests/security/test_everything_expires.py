"""Everything expires by a time inside the signed object; jobs only tidy up.

Cross rule 3 of the acceptance, and G3. The clock stands still and is moved by hand; no job runs, no
revocation is ever learnt, and what has run out is refused by its own claim alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.judge_world import Wire

from postkeep.base.clock import FixedClock
from postkeep.base.errors import RefusedError
from postkeep.base.ids import NOBODY, new_id
from postkeep.crypto import paseto
from postkeep.model.ticket import Ticket, TicketKind
from postkeep.services.authority import requests
from postkeep.services.authority.requests import Act, Policy, Request
from postkeep.tickets import entitlements, rules
from postkeep.tickets import mint as minting
from postkeep.tickets import token as tokens
from postkeep.tickets.channel.frames import PRESENT, Call
from postkeep.tickets.channel.judge import Case, Judge
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.narrow import NARROWABLE, NARROWED_SECONDS_MAX, narrow
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.verify import Verifier

TENANT, PERSON, SESSION = new_id(), new_id(), new_id()


class Realm:
    """An authority's mint, and who believes it, by one clock."""

    def __init__(self) -> None:
        key = Ed25519PrivateKey.generate()
        self.clock = FixedClock()
        self.mint = Mint(key.sign, self.clock)
        self.anchors = Anchors()
        self.anchors.trust("authority", key.public_key().public_bytes_raw())

    def module(self, name: str) -> ModuleIdentity:
        identity = ModuleIdentity(name, f"{name}-0.test")
        self.renew(identity)
        return identity

    def renew(self, identity: ModuleIdentity) -> None:
        """As every module does by itself: so that what is refused later is not refused for its sake."""
        identity.ticket = self.mint.module(identity.module, identity.instance, identity.thumbprint)[1]

    def verify(self, token: bytes, holder: ModuleIdentity, keeper: str) -> None:
        """Ask a verifier that has never seen the ticket, so that nothing remembered counts."""
        Verifier(self.anchors, self.clock).verify(token, audience=keeper, holder=holder.thumbprint)


class Kind(NamedTuple):
    """One sort of ticket: who holds it, how it is minted, and how long it may live."""

    module: str
    make: Callable[[Mint, ModuleIdentity], tuple[Ticket, bytes]]
    seconds: int


def _operation(purpose: entitlements.Purpose) -> Callable[[Mint, ModuleIdentity], tuple[Ticket, bytes]]:
    return lambda mint, me: mint.operation(me.module, me.instance, me.thumbprint, purpose)


def _staff(role: str) -> Callable[[Mint, ModuleIdentity], tuple[Ticket, bytes]]:
    return lambda mint, me: mint.staff(
        me.module, me.instance, me.thumbprint, session=SESSION, principal=PERSON, roles=(role,)
    )


def _grant(kind: str) -> Callable[[Mint, ModuleIdentity], tuple[Ticket, bytes]]:
    return lambda mint, me: mint.grant(
        me.module,
        me.instance,
        me.thumbprint,
        kind=kind,
        request=new_id(),
        subject=bytes(32),
        tenant=TENANT,
        principal=PERSON,
    )


def _user(mint: Mint, me: ModuleIdentity) -> tuple[Ticket, bytes]:
    return mint.user(me.module, me.instance, me.thumbprint, tenant=TENANT, principal=PERSON, session=SESSION)


def _module(mint: Mint, me: ModuleIdentity) -> tuple[Ticket, bytes]:
    return mint.module(me.module, me.instance, me.thumbprint)


def kinds() -> Iterator[tuple[str, Kind]]:
    """List every sort of ticket that the mint makes."""
    for module in rules.EVERYBODY:
        if rules.audience_of(module):
            yield f"module {module}", Kind(module, _module, minting.MODULE_SECONDS)
    for face in entitlements.SESSION_ACTIONS:
        yield f"user {face}", Kind(face, _user, minting.USER_SECONDS)
    for purpose in entitlements.PURPOSES:
        for holder in purpose.holders:
            made = Kind(holder, _operation(purpose), minting.OPERATION_SECONDS)
            yield f"operation {purpose.name} {holder}", made
    for role in entitlements.STAFF_ROLES:
        for holder in (rules.STEWARD, rules.CLI):
            yield f"staff {role} {holder}", Kind(holder, _staff(role), minting.STAFF_SECONDS)
    for kind in entitlements.GRANT_ACTIONS:
        holder = entitlements.grant_place(kind)[0]
        yield f"grant {kind}", Kind(holder, _grant(kind), minting.GRANT_SECONDS)


KINDS = dict(kinds())
NARROWED = [name for name in KINDS if TicketKind(name.split()[0]) in NARROWABLE]


def refused_as_expired(realm: Realm, token: bytes, holder: ModuleIdentity, keeper: str) -> None:
    with pytest.raises(RefusedError) as caught:
        realm.verify(token, holder, keeper)
    assert caught.value.code == "refused.expired"


def test_every_way_of_the_mint_to_make_a_ticket_is_tried_here() -> None:
    made = {name for name in vars(Mint) if not name.startswith("_")} - {"policies_of", "adopt", "sign"}
    assert made == set(TicketKind) == {name.split()[0] for name in KINDS}


@pytest.mark.parametrize("name", KINDS)
def test_a_ticket_of_any_kind_ends_by_its_own_claim(name: str) -> None:
    realm = Realm()
    kind = KINDS[name]
    holder = realm.module(kind.module)
    ticket, token = kind.make(realm.mint, holder)
    assert ticket.expires == realm.clock.now_seconds() + kind.seconds
    realm.clock.advance(kind.seconds - 1)
    for keeper in ticket.audience:
        realm.verify(token, holder, keeper)
    realm.clock.advance(1)
    for keeper in ticket.audience:
        refused_as_expired(realm, token, holder, keeper)


@pytest.mark.parametrize("name", KINDS)
def test_nobody_moves_the_end_of_a_ticket_without_the_authoritys_signature(name: str) -> None:
    realm = Realm()
    kind = KINDS[name]
    holder = realm.module(kind.module)
    ticket, token = kind.make(realm.mint, holder)
    realm.clock.advance(kind.seconds)
    head, signed = token.rsplit(b".", 1)
    body = paseto.decode_base64url(signed)
    end, later = (f'"expires":{seconds}'.encode() for seconds in (ticket.expires, ticket.expires + 1_000))
    assert body.count(end) == 1
    longer = head + b"." + paseto.encode_base64url(body.replace(end, later))
    assert tokens.read(longer)[0].ticket.expires == ticket.expires + 1_000
    with pytest.raises(RefusedError) as caught:
        realm.verify(longer, holder, ticket.audience[0])
    assert caught.value.code == "refused.signature"


@pytest.mark.parametrize("name", NARROWED)
def test_a_narrowed_ticket_ends_within_a_minute_while_its_parent_lives_on(name: str) -> None:
    realm = Realm()
    kind = KINDS[name]
    holder = realm.module(kind.module)
    ticket, token = kind.make(realm.mint, holder)
    keeper = ticket.audience[0]
    child = narrow(holder, token, holder=holder.thumbprint, audience=(keeper,), clock=realm.clock)
    realm.clock.advance(NARROWED_SECONDS_MAX - 1)
    realm.verify(child, holder, keeper)
    realm.clock.advance(1)
    refused_as_expired(realm, child, holder, keeper)
    realm.verify(token, holder, keeper)


@pytest.mark.parametrize("name", NARROWED)
def test_no_narrowed_ticket_outlives_the_one_that_it_hangs_on(name: str) -> None:
    realm = Realm()
    kind = KINDS[name]
    holder = realm.module(kind.module)
    ticket, token = kind.make(realm.mint, holder)
    keeper = ticket.audience[0]
    realm.clock.advance(kind.seconds - 10)
    child = narrow(holder, token, holder=holder.thumbprint, audience=(keeper,), clock=realm.clock)
    grandchild = narrow(holder, child, holder=holder.thumbprint, audience=(keeper,), clock=realm.clock)
    realm.clock.advance(9)
    for living in (child, grandchild):
        realm.verify(living, holder, keeper)
    realm.clock.advance(1)
    for ended in (child, grandchild):
        refused_as_expired(realm, ended, holder, keeper)
    with pytest.raises(RefusedError):  # nor is there a new one to be had
        narrow(holder, token, holder=holder.thumbprint, audience=(keeper,), clock=realm.clock)


# --- a keeper's whole judgement, with a ticket that it has taken a moment before ---


class Nothing(msgspec.Struct):
    """A request that names nothing, with every list that is ever counted."""

    deposits: list[int] = []
    epochs: list[int] = []
    outcomes: list[int] = []
    replaces: None = None


async def answer(_grant: object, _request: Any) -> msgspec.Struct:
    raise AssertionError("the judge runs nothing")


def judge_of(realm: Realm, rule: rules.Rule, view: RevocationView) -> Judge:
    keeper = rule.method.partition(".")[0]
    handlers = {rule.method: (Nothing, answer)}
    return Judge(keeper, realm.anchors, handlers, view, realm.clock, rules=(rule,))


def lines() -> Iterator[tuple[str, rules.Rule]]:
    """List what each sort of ticket is good for."""
    realm = Realm()
    for name, kind in KINDS.items():
        ticket, _ = kind.make(realm.mint, ModuleIdentity(kind.module, f"{kind.module}-0.test"))
        for rule in rules.RULES:
            fits = rule.action in ticket.actions and set(rule.categories) <= set(ticket.categories)
            if rule.kind is ticket.kind and kind.module in rule.callers and fits:
                yield name, replace(rule, units=())  # the end of a warrant's ticket, not the warrant


@pytest.mark.parametrize(
    ("name", "rule"), [pytest.param(*line, id=f"{line[0]} {line[1].method}") for line in lines()]
)
def test_a_keeper_that_has_just_taken_a_ticket_refuses_it_after_its_end(name: str, rule: rules.Rule) -> None:
    realm = Realm()
    kind = KINDS[name]
    holder = realm.module(kind.module)
    token = kind.make(realm.mint, holder)[1]
    view = RevocationView(lambda: 0.0)
    view.heard(0)
    judge = judge_of(realm, rule, view)
    nothing = msgspec.Raw(msgspec.msgpack.encode(Nothing()))

    def ask() -> None:
        judge.judge(Case(Call(1, rule.method, nothing, token), holder.ticket, Wire(holder)))

    ask()
    realm.clock.advance(kind.seconds - 1)
    realm.renew(holder)
    ask()
    realm.clock.advance(1)
    with pytest.raises(RefusedError) as caught:
        ask()
    assert caught.value.code == "refused.expired"


@pytest.mark.parametrize("module", [name.split()[1] for name in KINDS if name.startswith("module ")])
def test_a_module_whose_ticket_has_run_out_is_nobody(module: str) -> None:
    realm = Realm()
    holder = realm.module(module)
    keeper = rules.audience_of(module)[0]
    (rule, *_) = (
        rule for rule in rules.RULES if module in rule.callers and rule.method.startswith(keeper + ".")
    )
    view = RevocationView(lambda: 0.0)
    view.heard(0)
    judge = judge_of(realm, rule, view)

    def show() -> None:
        judge.judge(Case(Call(0, PRESENT, msgspec.Raw(b"\xc0")), holder.ticket, Wire(holder)))

    realm.clock.advance(minting.MODULE_SECONDS - 1)
    show()
    realm.clock.advance(1)
    with pytest.raises(RefusedError) as caught:
        show()
    assert caught.value.code == "refused.expired"


# --- requests for dangerous acts ---

APPROVERS = [bytes([number]) * 16 for number in (1, 2, 3)]
POLICY = Policy(2, frozenset(APPROVERS))


def request_until(expires_ms: int) -> Request:
    blank = Request(
        new_id(), "destroy", TENANT, PERSON, bytes(32), "", NOBODY, 0, opened_ms=0, expires_ms=expires_ms
    )
    return requests.open_request(blank, POLICY)


def approved_until(expires_ms: int) -> Request:
    request = request_until(expires_ms)
    for approver in APPROVERS[:2]:
        request = requests.decide(request, Act.APPROVE, approver, 1, POLICY)
    return request


@pytest.mark.parametrize("act", [Act.APPROVE, Act.DECLINE, Act.WITHDRAW, Act.GRANT])
@pytest.mark.parametrize("made", [request_until, approved_until])
def test_a_request_ends_by_its_own_field_though_nothing_has_swept_it(
    made: Callable[[int], Request], act: Act
) -> None:
    by = {Act.WITHDRAW: NOBODY}.get(act, APPROVERS[2])
    early, late = made(1_000), made(2_000)
    with pytest.raises(RefusedError) as caught:
        requests.decide(early, act, by, 1_000, POLICY)
    assert caught.value.code == "refused.request_ended"
    assert early.state in {requests.State.OPEN, requests.State.APPROVED}  # no sweep has written it down
    for request, now_ms in ((early, 999), (late, 1_000)):
        if act is Act.GRANT and made is request_until:
            with pytest.raises(RefusedError, match="approvals are missing"):
                requests.decide(request, act, by, now_ms, POLICY)
        else:
            assert requests.decide(request, act, by, now_ms, POLICY) != request


def test_what_was_granted_once_is_not_granted_for_ever() -> None:
    begun = requests.decide(approved_until(1_000), Act.GRANT, NOBODY, 500, POLICY)
    end = 500 + requests.RESUME_SECONDS * 1000
    assert requests.decide(begun, Act.GRANT, NOBODY, end - 1, POLICY).granted_ms == 500
    with pytest.raises(RefusedError) as caught:
        requests.decide(begun, Act.GRANT, NOBODY, end, POLICY)
    assert caught.value.code == "refused.request_ended"
