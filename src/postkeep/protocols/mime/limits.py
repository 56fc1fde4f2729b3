"""The limits of the MIME scanner. Beyond each of them the rest of a message is one opaque part."""

from typing import Final

DEPTH_MAX: Final = 24
"""Levels of multipart and message/rfc822: every level may search its whole span once more."""
PARTS_MAX: Final = 1000
"""Parts in a message: real mail stays below a hundred."""
CANDIDATES_MAX: Final = 20_000
"""Lines in a message that begin like a delimiter: each costs a look, whatever it turns out to be."""
BOUNDARY_OCTETS_MAX: Final = 200
"""RFC 2046 section 5.1.1 allows 70; some senders use more."""
HEADER_OCTETS_MAX: Final = 256 * 1024
"""Octets of one header that are looked into."""
HEADERS_OCTETS_MAX: Final = 1024 * 1024
"""Octets of all headers of a message, parts included, that are looked into."""
VALUE_OCTETS_MAX: Final = 64 * 1024
"""Octets of one structured field value that are parsed."""
PARAMETERS_MAX: Final = 100
"""Parameters of one field: a file name in twenty continuations is already rare."""
ADDRESSES_MAX: Final = 2000
"""Addresses of one field."""
COMMENT_DEPTH_MAX: Final = 16
"""Nested comments in a structured field; deeper parentheses count as text."""
IDENTIFIERS_MAX: Final = 200
"""Message identifiers of one field (RFC 5322 section 3.6.4)."""
ENCODED_WORDS_MAX: Final = 2000
"""Encoded words of one field; those after them stay as they are."""
