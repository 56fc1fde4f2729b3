"""MAIL and RCPT read into events, or into the reply that says what is wrong with them. Pure."""

from postkeep.base.errors import InvalidInputError
from postkeep.protocols.smtp import replies
from postkeep.protocols.smtp.events import Mail, Rcpt
from postkeep.protocols.smtp.parameters import (
    UnknownParameterError,
    parse_mail_parameters,
    parse_rcpt_parameters,
)
from postkeep.protocols.smtp.path import parse_mailbox, split_path
from postkeep.protocols.smtp.replies import Reply


def read_mail(argument: bytes, *, auth: bool) -> Mail | Reply:
    """Read what follows `MAIL ` (RFC 5321 section 4.1.1.2); `auth`: the AUTH parameter is known."""
    if argument[:5].upper() != b"FROM:":
        return replies.BAD_SYNTAX
    try:
        path, rest = split_path(argument[5:])
        sender = parse_mailbox(path) if path else None
    except InvalidInputError:
        return replies.BAD_SENDER
    try:
        parameters = parse_mail_parameters(rest, auth=auth)
    except UnknownParameterError:
        return replies.BAD_PARAMETER
    except InvalidInputError:
        return replies.BAD_SYNTAX
    if not parameters.smtputf8 and not path.isascii():
        return replies.NEEDS_SMTPUTF8
    return Mail(sender, parameters)


def read_rcpt(argument: bytes, *, smtputf8: bool) -> Rcpt | Reply:
    """Read what follows `RCPT ` (RFC 5321 section 4.1.1.3); `smtputf8`: MAIL asked for it."""
    if argument[:3].upper() != b"TO:":
        return replies.BAD_SYNTAX
    try:
        path, rest = split_path(argument[3:])
        recipient = parse_mailbox(path)
    except InvalidInputError:
        return replies.BAD_RECIPIENT
    try:
        parameters = parse_rcpt_parameters(rest, smtputf8=smtputf8)
    except UnknownParameterError:
        return replies.BAD_PARAMETER
    except InvalidInputError:
        return replies.BAD_SYNTAX
    if not smtputf8 and not path.isascii():
        return replies.NEEDS_SMTPUTF8
    return Rcpt(recipient, parameters)
