"""Mail addresses: the value, its parsing and the one normal form that lookups compare.

Source: RFC 5321 section 4.1.2 (Mailbox), RFC 6531 (internationalised addresses), RFC 5890 (IDNA).
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from postkeep.base.errors import InvalidInputError

LOCAL_PART_OCTETS_MAX: Final = 64  # RFC 5321 section 4.5.3.1.1
DOMAIN_OCTETS_MAX: Final = 255  # RFC 5321 section 4.5.3.1.2
LABEL_OCTETS_MAX: Final = 63  # RFC 1035 section 2.3.4

_ATOM = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+)*\Z"
)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z")
_DEVIANT = re.compile("[\u00df\u03c2\u200c\u200d]")
"""Characters that IDNA 2003 maps to others, or to nothing, and IDNA 2008 does not (UTS 46 section 7)."""
_QUOTED = re.compile(r'"((?:[^"\\\x00-\x1f\x7f]|\\[ -~])*)"\Z')


@dataclass(frozen=True, slots=True)
class Address:
    """An address as given (`local`, unquoted) with its domain in the A-label form, lower case."""

    local: str
    domain: str

    def __str__(self) -> str:
        local = self.local if _ATOM.match(self.local) else '"' + re.sub(r'(["\\])', r"\\\1", self.local) + '"'
        return f"{local}@{self.domain}"

    @property
    def key(self) -> str:
        """The normal form that directory lookups compare: NFC, case folded local part, A-label domain."""
        return f"{unicodedata.normalize('NFC', self.local).casefold()}@{self.domain}"

    @property
    def is_ascii(self) -> bool:
        """Whether the address can be sent without SMTPUTF8."""
        return self.local.isascii()


def parse_domain(text: str) -> str:
    """Return a domain in lower-case A-label form; raise InvalidInputError for what is not a domain."""
    name = unicodedata.normalize("NFC", text).removesuffix(".")
    if _DEVIANT.search(name):
        raise InvalidInputError(public_text="Write this domain in the form that begins with xn--.")
    try:
        ascii_name = name.lower() if name.isascii() else name.encode("idna").decode("ascii").lower()
    except UnicodeError as exc:
        raise InvalidInputError(public_text="The domain name is not valid.") from exc
    labels = ascii_name.split(".")
    if len(ascii_name) > DOMAIN_OCTETS_MAX or not all(
        len(label) <= LABEL_OCTETS_MAX and _LABEL.match(label) for label in labels
    ):
        raise InvalidInputError(public_text="The domain name is not valid.")
    return ascii_name


def parse_address(text: str) -> Address:
    """Parse `local@domain` (dot-string or quoted local part); raise InvalidInputError for anything else."""
    local, at, domain = text.rpartition("@")
    if not at or not local:
        raise InvalidInputError(public_text="An address has the form name@example.com.")
    if local.startswith('"'):
        quoted = _QUOTED.match(local)
        if quoted is None:
            raise InvalidInputError(public_text="The quoted part of the address is not valid.")
        local = re.sub(r"\\(.)", r"\1", quoted.group(1))
    elif not _ATOM.match(local):
        raise InvalidInputError(public_text="The part before the @ is not valid.")
    if len(local.encode()) > LOCAL_PART_OCTETS_MAX:
        raise InvalidInputError(public_text="The part before the @ is longer than 64 octets.")
    return Address(local, parse_domain(domain))
