"""Parsing the commands of RFC 4314."""

import re
from typing import Final

from postkeep.protocols.imap.acl import AclMode, DeleteAcl, GetAcl, ListRights, MyRights, SetAcl
from postkeep.protocols.imap.cursor import Cursor
from postkeep.protocols.imap.errors import ImapSyntaxError

IDENTIFIER_BYTES_MAX: Final = 320
"""An address (RFC 5321 section 4.5.3.1): longer is nobody's."""
_LETTERS: Final = re.compile(r"([+-]?)([a-z0-9]{0,40})\Z")


def parse_set_acl(cursor: Cursor) -> SetAcl:
    """Read what stands behind SETACL."""
    mailbox, identifier = _mailbox(cursor), _identifier(cursor)
    cursor.space()
    try:
        found = _LETTERS.match(cursor.astring().decode("ascii"))
    except UnicodeDecodeError:
        found = None
    if found is None:
        raise ImapSyntaxError("Rights are small letters, with + or - before them to add or remove some.")
    return SetAcl(mailbox, identifier, AclMode(found.group(1)), found.group(2))


def parse_delete_acl(cursor: Cursor) -> DeleteAcl:
    """Read what stands behind DELETEACL."""
    return DeleteAcl(_mailbox(cursor), _identifier(cursor))


def parse_get_acl(cursor: Cursor) -> GetAcl:
    """Read what stands behind GETACL."""
    return GetAcl(_mailbox(cursor))


def parse_list_rights(cursor: Cursor) -> ListRights:
    """Read what stands behind LISTRIGHTS."""
    return ListRights(_mailbox(cursor), _identifier(cursor))


def parse_my_rights(cursor: Cursor) -> MyRights:
    """Read what stands behind MYRIGHTS."""
    return MyRights(_mailbox(cursor))


def _mailbox(cursor: Cursor) -> str:
    cursor.space()
    return cursor.mailbox()


def _identifier(cursor: Cursor) -> str:
    cursor.space()
    octets = cursor.astring()
    if len(octets) > IDENTIFIER_BYTES_MAX:
        raise ImapSyntaxError("An identifier is an address.")
    try:
        return octets.decode()
    except UnicodeDecodeError as exc:
        raise ImapSyntaxError("An identifier is an address, in UTF-8.") from exc
