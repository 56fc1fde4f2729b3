"""Looking colleagues up, as values on the wire."""

import msgspec

from postkeep.services.kms.api import SignedPublicKey


class FindColleagues(msgspec.Struct, frozen=True):
    """`authority.colleagues`: who in the signed-in person's company has these addresses, or is meant by these
    identifiers. Only the module instance that holds the session may ask."""

    session: bytes
    addresses: list[str] = []
    principals: list[bytes] = []


class Colleague(msgspec.Struct, frozen=True):
    """A person or a group of the same company."""

    principal: bytes
    kind: str
    """`user` or `group`."""
    address: str
    """The primary one."""
    key: SignedPublicKey | None = None
    """None: a group without a mailbox of its own."""


class Colleagues(msgspec.Struct, frozen=True):
    """Those who were found, by principal; `asked` leads from addresses, as they were asked for, to them."""

    found: list[Colleague]
    asked: dict[str, bytes] = {}
