"""The parameters of MAIL and RCPT: SIZE, BODY, SMTPUTF8, AUTH, and those of DSN (RFC 3461)."""

import re
from typing import Final

import msgspec

from postkeep.base.errors import InvalidInputError
from postkeep.protocols.smtp.limits import CHUNK_DIGITS_MAX, ENVID_OCTETS_MAX, ORCPT_OCTETS_MAX

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*\Z")
_UTF8_ADDRESS = re.compile(r"(?:[!-*,-<>-\[\]-~]|\\x\{[0-9A-F]{2,6}\}|[^\x00-\x7f]|\+[0-9A-F]{2})+\Z")
_ENCODED = re.compile(r"\+([0-9A-F]{2})")
_UNENCODED = re.compile(r"[^!-*,-<>-~]")
_NOTIFY: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})


class UnknownParameterError(InvalidInputError):
    """A parameter that no extension of ours defines."""

    code = "smtp_parameter"


class MailParameters(msgspec.Struct, frozen=True):
    """What follows the path in MAIL."""

    size: int = 0
    """As declared (RFC 1870); 0: not declared."""
    body: str = ""
    """`7BIT`, `8BITMIME` or empty (RFC 6152)."""
    smtputf8: bool = False
    ret: str = ""
    """`FULL`, `HDRS` or empty (RFC 3461 section 4.3)."""
    envid: str = ""
    """The sender's name for this sending, xtext taken off (RFC 3461 section 4.4)."""


class RcptParameters(msgspec.Struct, frozen=True):
    """What follows the path in RCPT (RFC 3461 sections 4.1, 4.2)."""

    notify: tuple[str, ...] = ()
    """`NEVER` alone, or some of `SUCCESS`, `FAILURE`, `DELAY`; empty: the sender does not say."""
    orcpt: str = ""
    """The original recipient as `type;address`, xtext taken off."""


NO_MAIL_PARAMETERS: Final = MailParameters()
NO_RCPT_PARAMETERS: Final = RcptParameters()


def decode_xtext(text: str) -> str:
    """Take off xtext (RFC 3461 section 4); raise InvalidInputError for what is not xtext."""
    if not _XTEXT.match(text):
        raise InvalidInputError(public_text="Not valid xtext.")
    return _ENCODED.sub(lambda found: chr(int(found.group(1), 16)), text)


def encode_xtext(text: str) -> str:
    """Put on xtext; raise InvalidInputError for text that is not ASCII."""
    if not text.isascii():
        raise InvalidInputError(public_text="Only ASCII can be written as xtext.")
    return _UNENCODED.sub(lambda found: f"+{ord(found.group()):02X}", text)


def _pairs(text: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        words = text.decode("utf-8").split(" ")
    except UnicodeDecodeError as exc:
        raise InvalidInputError(public_text="Parameters are ASCII or UTF-8.") from exc
    for word in words:
        if not word:
            continue
        name, _, value = word.partition("=")
        name = name.upper()
        if name in found:
            raise InvalidInputError(public_text="A parameter is given twice.")
        found[name] = value
    return found


def parse_mail_parameters(text: bytes, *, auth: bool) -> MailParameters:
    """Read MAIL's parameters; `auth`: AUTH is offered, so its parameter is read (and not believed).

    Raises UnknownParameterError for a name that we do not know, InvalidInputError for a bad value.
    """
    if not text:
        return NO_MAIL_PARAMETERS
    size, body, smtputf8, ret, envid = 0, "", False, "", ""
    for name, value in _pairs(text).items():
        if name == "SIZE" and value.isascii() and value.isdigit() and len(value) <= CHUNK_DIGITS_MAX:
            size = int(value)
        elif name == "BODY" and value.upper() in ("7BIT", "8BITMIME"):
            body = value.upper()
        elif name == "SMTPUTF8" and not value:
            smtputf8 = True
        elif name == "RET" and value.upper() in ("FULL", "HDRS"):
            ret = value.upper()
        elif name == "ENVID" and 0 < len(value) <= ENVID_OCTETS_MAX:
            envid = decode_xtext(value)
        elif name == "AUTH" and auth:
            decode_xtext(value.removeprefix("<>"))
        elif name in ("SIZE", "BODY", "SMTPUTF8", "RET", "ENVID"):
            raise InvalidInputError(public_text=f"The value of {name} is not valid.")
        else:
            raise UnknownParameterError
    return MailParameters(size, body, smtputf8, ret, envid)


def parse_rcpt_parameters(text: bytes, *, smtputf8: bool) -> RcptParameters:
    """Read RCPT's parameters; raises as `parse_mail_parameters` does."""
    if not text:
        return NO_RCPT_PARAMETERS
    notify: tuple[str, ...] = ()
    orcpt = ""
    for name, value in _pairs(text).items():
        if name == "NOTIFY":
            notify = tuple(sorted(set(value.upper().split(","))))
            if notify != ("NEVER",) and not _NOTIFY.issuperset(notify):
                raise InvalidInputError(public_text="The value of NOTIFY is not valid.")
        elif name == "ORCPT":
            orcpt = _orcpt(value, smtputf8=smtputf8)
        else:
            raise UnknownParameterError
    return RcptParameters(notify, orcpt)


def _orcpt(value: str, *, smtputf8: bool) -> str:
    """`rfc822;xtext`, or with SMTPUTF8 `utf-8;` and one of the forms of RFC 6533 section 3."""
    kind, separator, address = value.partition(";")
    if (
        not separator
        or not address
        or len(value) > ORCPT_OCTETS_MAX
        or not re.fullmatch(r"[\w.-]+", kind, re.ASCII)
    ):
        raise InvalidInputError(public_text="The value of ORCPT is not valid.")
    if kind.lower() == "utf-8" and smtputf8:
        if not _UTF8_ADDRESS.match(address):
            raise InvalidInputError(public_text="The value of ORCPT is not valid.")
        return f"{kind};{address}"
    return f"{kind};{decode_xtext(address)}"
