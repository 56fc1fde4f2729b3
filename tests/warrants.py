"""Warrants that tests destroy things with: what people would have approved."""

from collections.abc import Iterator

from postkeep.base.ids import new_id
from postkeep.model.warrant import Unit, Warrant


def person_warrant(tenant: bytes, principal: bytes) -> Warrant:
    """The end of a person."""
    return Warrant(unit=Unit.PERSON, tenant=tenant, principal=principal)


def tenant_warrant(tenant: bytes) -> Warrant:
    """The end of a company."""
    return Warrant(unit=Unit.TENANT, tenant=tenant)


def mail_warrant(
    tenant: bytes, principal: bytes, mailbox: bytes, uids: list[tuple[int, int]], unit: Unit = Unit.MESSAGE
) -> Warrant:
    """The end of messages, or of a mailbox."""
    return Warrant(unit=unit, tenant=tenant, principal=principal, mailbox=mailbox, uids=uids)


def category_warrant(tenant: bytes, category: str) -> Warrant:
    """The end of a category of a company's data."""
    return Warrant(unit=Unit.CATEGORY, tenant=tenant, category=category)


def narrower_than(person: Warrant) -> Iterator[Warrant]:
    """What is less than a person, and of the same person: one message, one mailbox."""
    for unit in (Unit.MESSAGE, Unit.MAILBOX):
        yield mail_warrant(person.tenant, person.principal, new_id(), [(1, 1)], unit)
