"""Which rights a call about another's mailbox takes. Pure: a request goes in, rights on mailboxes come out.

A method that a reader may call at all stands in `NEEDS`, and in the table of rules as `shared`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from postkeep.base.errors import RefusedError
from postkeep.services.vault.flags import DELETED, SEEN, parse_flags


class Need(NamedTuple):
    """All of these letters, on this mailbox of this owner."""

    owner: bytes
    mailbox: bytes | None
    """None: on some mailbox of the owner's. Empty: on all that the owner has."""
    letters: str


def owners_of(request: Any) -> frozenset[bytes]:
    """Return the principals whose mailboxes a request is about."""
    deposits = getattr(request, "deposits", None)
    if deposits is None:
        owner = getattr(request, "owner", b"")  # of a mailbox that is annotated, or copied to
        return frozenset((request.principal, owner) if owner else (request.principal,))
    placements = (placement for deposit in deposits for placement in deposit.placements)
    owners = frozenset(placement.principal for placement in placements)
    replaced = getattr(request, "replaces", None)
    return owners if replaced is None else owners | {replaced.principal}


def _reads(request: Any) -> list[Need]:
    return [Need(request.principal, request.mailbox, "r")]


def _anything(request: Any) -> list[Need]:
    return [Need(request.principal, None, "r")]


def _reads_annotations(request: Any) -> list[Need]:
    if not request.mailbox:
        raise RefusedError("another's annotations are read mailbox by mailbox", code="refused.rights")
    return _reads(request)


def _annotates(request: Any) -> list[Need]:
    """Return what it takes to write shared annotations, or one's own about a mailbox that one may read."""
    return [
        Need(request.principal, request.mailbox, "w"),
        Need(request.owner or request.principal, request.mailbox, "r"),
    ]


def _flags(request: Any) -> list[Need]:
    letters = flag_letters(request.flags)
    if request.mode == "replace":  # whatever else there is goes
        letters = "swt"
    return [Need(request.principal, request.mailbox, letters)]


def _expunges(request: Any) -> list[Need]:
    return [Need(request.principal, request.mailbox, "e")]


def _copies(request: Any) -> list[Need]:
    source = "rte" if request.move else "r"
    return [Need(request.principal, request.mailbox, source), Need(request.principal, request.target, "i")]


def _copies_across(request: Any) -> list[Need]:
    return [
        Need(request.principal, request.mailbox, "r"),
        Need(request.owner, request.target, "i"),
    ]


def _appends(request: Any) -> list[Need]:
    needs = []
    for deposit in request.deposits:
        for placement in deposit.placements:
            if not placement.mailbox:
                raise RefusedError("another's mailbox is named by its identifier", code="refused.rights")
            letters = "i" + flag_letters(placement.flags)
            needs.append(Need(placement.principal, placement.mailbox, letters))
    if request.replaces is not None:
        needs.append(Need(request.replaces.principal, request.replaces.mailbox, "te"))
    return needs


def _changes(request: Any) -> list[Need]:
    needs = []
    for change in request.changes:
        if change.role is not None or change.subscribed is not None:
            raise RefusedError("only the owner says what a mailbox is for", code="refused.rights")
        if change.create:
            needs.append(Need(request.principal, b"", "k"))
        elif change.delete:
            needs.append(Need(request.principal, change.id, "x"))
        else:
            needs += [Need(request.principal, change.id, "x"), Need(request.principal, b"", "k")]
    return needs


def _administers(request: Any) -> list[Need]:
    return [Need(request.principal, request.mailbox, "a")]


def flag_letters(flags: tuple[str, ...]) -> str:
    """Return the rights that it takes to change these flags (RFC 4314 section 4)."""
    bits, keywords = parse_flags(flags)
    others = bits & ~(SEEN | DELETED) or keywords
    return "s" * bool(bits & SEEN) + "w" * bool(others) + "t" * bool(bits & DELETED)


NEEDS: Final[Mapping[str, Callable[[Any], list[Need]]]] = {
    "vault.select": _reads,
    "vault.updates": _reads,
    "vault.rows": _reads,
    "vault.pages": _reads,
    "vault.summaries": _reads,
    "vault.content": _reads,
    "vault.texts": _reads,
    "vault.segments": _reads,
    "vault.segment_parts": _reads,
    "vault.epochs": _anything,
    "vault.quota": _anything,
    "vault.entries": _reads_annotations,
    "vault.set_entries": _annotates,
    "vault.store_flags": _flags,
    "vault.expunge": _expunges,
    "vault.copy": _copies,
    "vault.copy_across": _copies_across,
    "vault.append": _appends,
    "vault.change_mailboxes": _changes,
    "vault.rights": _administers,
    "vault.set_rights": _administers,
}
