"""What a client may ask of the parser. Every limit has its unit and its reason."""

from typing import Final

COMMAND_TEXT_BYTES_MAX: Final = 65_536
"""One command without its literals. RFC 7162 section 4 asks for 8,192; sets of scattered UIDs need more."""
AUTH_LINE_BYTES_MAX: Final = 16_384
"""One line of a SASL exchange; the longest mechanisms (RFC 4959 section 3) stay below 12,288."""
LITERAL_BYTES_MAX: Final = 65_536
"""All literals of one command that is not APPEND: mailbox names, search texts."""
LITERAL_BYTES_MAX_UNAUTHENTICATED: Final = 4_096
"""The same before sign-in: a user name and a password."""
LITERALS_MAX: Final = 512
"""Literals in one command: the messages of one APPEND; the vault takes as many in one transaction."""
DISCARD_BYTES_MAX: Final = 1 << 28
"""A refused non-synchronising literal is read and thrown away up to this; beyond it we hang up (RFC 7888)."""
PIPELINE_BYTES_MAX: Final = 131_072
"""Octets of commands that wait behind the one that runs, before we stop reading from the socket."""
TAG_BYTES_MAX: Final = 128
"""A tag is echoed back, so it is bounded; clients use fewer than ten."""
NESTING_MAX: Final = 32
"""Parentheses, NOT and OR within each other: the parser is recursive."""
SEARCH_KEYS_MAX: Final = 1_024
"""Keys in one SEARCH, nested ones included."""
SEQUENCE_RANGES_MAX: Final = 16_384
"""Ranges in one sequence set."""
LIST_ITEMS_MAX: Final = 512
"""Elements of one parenthesised list: flags, header fields, fetch items, patterns."""
PART_DEPTH_MAX: Final = 64
"""Numbers in a section part, as 1.2.3."""
MAILBOX_NAME_BYTES_MAX: Final = 1_000
"""A mailbox name in UTF-8."""
KEYWORD_BYTES_MAX: Final = 128
"""A keyword (user-defined flag)."""
