"""SASL mechanisms, both roles, as pure values: PLAIN, LOGIN, SCRAM-SHA-256, OAUTHBEARER.

Octets in, octets or decisions out; no sockets, no accounts. Start with `plain`, `login`, `scram` or `bearer`.
What a mechanism can't accept raises `SaslError`, with a reason that holds nothing of the peer's octets.
"""

from typing import Final

from postkeep.base.errors import InvalidInputError

MESSAGE_BYTES_MAX: Final = 4096
"""Octets of one message of any mechanism, decoded; the longest legal PLAIN is below 1,200."""

NAME_BYTES_MAX: Final = 1024
"""Octets of an authentication identity: an address has at most 320 characters."""

PASSWORD_BYTES_MAX: Final = 1024
"""Octets of a password; RFC 4616 section 2 gives room for 255 characters."""


class SaslError(InvalidInputError):
    """The exchange does not follow the mechanism."""

    code = "invalid.sasl"
    public_text = "The authentication exchange is not valid."
