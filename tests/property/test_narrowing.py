"""T4: 10,000 random chains of narrowing, honest and forged, and none ever widens a claim."""

from random import Random
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postkeep.base.clock import FixedClock
from postkeep.base.errors import RefusedError
from postkeep.base.ids import new_id
from postkeep.model.categories import Category
from postkeep.model.ticket import Action, Ticket, TicketKind
from postkeep.tickets import token as tokens
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.narrow import narrow
from postkeep.tickets.verify import Verifier

CHAINS: Final = 10_000
ISSUED, LASTS = 1000, 300
CHOICES: Final[dict[str, list[Any]]] = {
    "audience": ["vault", "kms", "ledger", "authority"],
    "actions": list(Action)[:6],
    "categories": list(Category)[:4],
    "methods": ["vault.content", "vault.append", "kms.open_epochs"],
    "mailboxes": ["aa" * 16, "bb" * 16, "cc" * 16],
    "kind": [TicketKind.USER, TicketKind.OPERATION, TicketKind.STAFF, TicketKind.GRANT],
    "tenant": ["", "11" * 16, "22" * 16],
    "principal": ["", "33" * 16, "44" * 16],
    "session": ["", "55" * 16, "66" * 16],
    "level": [0, 1, 2],
    "budget": [None, 0, 5, 100],
    "purpose": ["", "deliver", "destroy"],
    "certificate": ["", "77" * 32],
    "request": ["", "88" * 16],
    "subject": ["", "99" * 32],
    "approvals": [0, 1, 2],
    "issued": [ISSUED - 50, ISSUED, ISSUED + 10],
    "expires": [ISSUED + 30, ISSUED + 60, ISSUED + 70, ISSUED + LASTS + 50],
    "depth": [0, 1, 2, 3, 4],
}
SETS: Final = {"audience", "actions", "categories", "methods"}
SAME: Final = {
    "kind", "tenant", "principal", "session", "level", "purpose", "certificate", "request", "subject",
    "approvals",
}  # fmt: skip
NAMES: Final = {"id", "holder", "module", "instance", "parent"}
"""Claims that say who holds which ticket, and allow nothing."""

ROOT: Final = ModuleIdentity("authority", "authority-1.test")
HOLDERS: Final = [ModuleIdentity("imap", f"imap-{number}.test") for number in range(5)]
ANCHORS: Final = Anchors()
ANCHORS.trust("authority", ROOT.public_key)


def some(random: Random, claim: str, within: Any = None) -> tuple[Any, ...]:
    """Draw a few values of a claim that is a set; mostly such as `within` has."""
    pool = CHOICES[claim] if within is None or random.random() < 0.05 else sorted(within)
    return tuple(value for value in pool if random.random() < 0.8)


def root_ticket(random: Random) -> Ticket:
    """Draw what the authority may have signed."""
    claims: dict[str, Any] = {name: random.choice(CHOICES[name]) for name in SAME | {"budget"}}
    claims |= {name: some(random, name) for name in SETS}
    return Ticket(
        id=new_id().hex(),
        issued=ISSUED,
        expires=ISSUED + LASTS,
        holder=HOLDERS[0].thumbprint,
        module="imap",
        mailboxes=random.choice([None, some(random, "mailboxes")]),
        **claims,
    )


def forge(random: Random, parent: Ticket, token: bytes, holder: ModuleIdentity, following: str) -> bytes:
    """Sign a child with one claim that is drawn without regard to the parent's."""
    child = msgspec.structs.replace(
        parent,
        holder=following,
        issued=ISSUED,
        expires=min(parent.expires, ISSUED + 60),
        depth=parent.depth + 1,
        parent=tokens.digest(token),
    )
    claim = random.choice(list(CHOICES))
    if claim == "mailboxes":
        value = random.choice([None, some(random, claim)])
    elif claim in SETS:
        value = some(random, claim)
    else:
        value = random.choice(CHOICES[claim])
    changed = msgspec.structs.replace(child, **{claim: value})
    return tokens.append(tokens.write(changed, holder.sign), holder.public_key, token)


def honest(random: Random, parent: Ticket, token: bytes, holder: ModuleIdentity, following: str) -> bytes:
    """Narrow as a module does, mostly by what the parent allows."""
    keep = [random.random() < 0.3 for _ in range(3)]
    return narrow(
        holder,
        token,
        holder=following,
        audience=some(random, "audience", parent.audience),
        actions=None if keep[0] else some(random, "actions", parent.actions),
        categories=None if keep[1] else some(random, "categories", parent.categories),
        mailboxes=None if keep[2] else some(random, "mailboxes", parent.mailboxes),
        module="imap",
        seconds=random.choice([10, 30, 60, 60, 61]),
        clock=FixedClock(ISSUED),
    )


def wider(child: Ticket, parent: Ticket) -> list[str]:
    """Name the claims in which a ticket allows more than another: the oracle, claim by claim."""
    found = [name for name in SAME if getattr(child, name) != getattr(parent, name)]
    found += [name for name in SETS if set(getattr(child, name)) - set(getattr(parent, name))]
    everything = set(CHOICES["mailboxes"]) | {"any other"}
    boxes = [everything if ticket.mailboxes is None else set(ticket.mailboxes) for ticket in (child, parent)]
    if boxes[0] - boxes[1]:
        found.append("mailboxes")
    endless = float("inf")
    budgets = [endless if ticket.budget is None else ticket.budget for ticket in (child, parent)]
    if budgets[0] > budgets[1]:
        found.append("budget")
    if child.issued < parent.issued:
        found.append("issued")
    if child.expires > min(parent.expires, child.issued + 60) or child.expires <= child.issued:
        found.append("expires")
    if not parent.depth < child.depth <= 3 or child.depth != parent.depth + 1:
        found.append("depth")
    return found


def walk(random: Random) -> tuple[int, bool]:
    """Make one chain to its end and judge it; return its depth and whether it was accepted."""
    chain = [root_ticket(random)]
    token = tokens.write(chain[0], ROOT.sign)
    steps = random.randint(1, 4)
    forged = random.random() < 0.6
    for number in range(steps):
        holder, following = HOLDERS[number], HOLDERS[number + 1].thumbprint
        act = forge if forged and number == steps - 1 else honest
        try:
            token = act(random, chain[-1], token, holder, following)
        except RefusedError:
            return number, False
        chain.append(tokens.read(token)[0].ticket if number < 3 else chain[-1])
    pairs = [(child, parent) for at, child in enumerate(chain) for parent in chain[:at]]
    beyond = {name for child, parent in zip(chain[1:], chain, strict=False) for name in wider(child, parent)}
    clock = FixedClock(max(chain[-1].issued, ISSUED))
    try:
        shown = Verifier(ANCHORS, clock).verify(token, audience=None, holder=HOLDERS[steps].thumbprint)
    except RefusedError:
        return steps, False
    assert not beyond, beyond
    assert steps <= 3
    assert shown.ticket == chain[-1]
    for child, parent in pairs:
        assert not [name for name in wider(child, parent) if name != "depth"]
    assert shown.expires == chain[-1].expires <= chain[0].expires
    return steps, True


def test_the_oracle_knows_every_claim_of_a_ticket() -> None:
    assert set(Ticket.__struct_fields__) == CHOICES.keys() | NAMES
    assert set(CHOICES) == SETS | SAME | {"mailboxes", "budget", "issued", "expires", "depth"}


def test_t4_ten_thousand_chains_of_narrowing_never_widen_a_claim() -> None:
    ends = [walk(Random(seed)) for seed in range(CHAINS)]
    for depth in (1, 2, 3):
        assert ends.count((depth, True)) > 500
        assert ends.count((depth, False)) > 500
    assert not ends.count((4, True))


@settings(max_examples=100)  # `make fuzz`: 5,000 others
@given(st.randoms(use_true_random=False))
def test_t4_a_chain_that_is_drawn_anew_widens_nothing(random: Random) -> None:
    walk(random)


@pytest.mark.parametrize("claim", sorted(CHOICES))
def test_t4_a_child_that_is_wider_in_one_claim_alone_is_refused(claim: str) -> None:
    """Each claim for itself, so that none hides behind another that is refused first."""
    holder, following = HOLDERS[0], HOLDERS[1]
    parent = Ticket(
        new_id().hex(), TicketKind.USER, ISSUED, ISSUED + 100, ("vault",), holder.thumbprint,
        tenant="11" * 16, principal="33" * 16, session="55" * 16, level=1, actions=(Action.MAIL_READ,),
        categories=(Category.CONTENT,), methods=("vault.content",), mailboxes=("aa" * 16,), budget=5,
    )  # fmt: skip
    token = tokens.write(parent, ROOT.sign)
    narrow_child = msgspec.structs.replace(
        parent, holder=following.thumbprint, expires=ISSUED + 60, depth=1, parent=tokens.digest(token)
    )
    verifier = Verifier(ANCHORS, FixedClock(ISSUED))

    def show(child: Ticket) -> None:
        whole = tokens.append(tokens.write(child, holder.sign), holder.public_key, token)
        verifier.verify(whole, audience=None, holder=following.thumbprint)

    show(narrow_child)
    tried = 0
    for value in [*CHOICES[claim], None] if claim == "mailboxes" else CHOICES[claim]:
        whole = (value,) if claim in SETS | {"mailboxes"} and value is not None else value
        child = msgspec.structs.replace(narrow_child, **{claim: whole})
        if not wider(child, parent):
            continue
        tried += 1
        with pytest.raises(RefusedError) as caught:
            show(child)
        assert caught.value.code in {"refused.widened", "refused.expired", "refused.early"}
    assert tried
