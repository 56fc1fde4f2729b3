"""Every bound of the SMTP cores, with its unit and its reason."""

from typing import Final

COMMAND_OCTETS_MAX: Final = 4096
"""One command line with its CRLF. RFC 5321 asks for 512, and the extensions we announce add 500 for
ORCPT, 100 for ENVID and a few dozen each for the rest; UTF-8 paths may be longer still."""

AUTH_LINE_OCTETS_MAX: Final = 12288
"""One line of a SASL exchange with its CRLF (RFC 4954 section 4)."""

BAD_COMMANDS_MAX: Final = 10
"""Commands that are wrong, in one connection: a program that is wrong ten times will not get right."""

IDLE_COMMANDS_MAX: Final = 200
"""Commands in a row that bring no message nearer (NOOP, RSET, VRFY, EHLO ...)."""

UNAUTHENTICATED_COMMANDS_MAX: Final = 25
"""Where signing in is demanded: commands before it. A client needs five."""

AUTH_FAILURES_MAX: Final = 3
"""Failed sign-ins in one connection."""

REFUSED_RECIPIENTS_MAX: Final = 100
"""Recipients refused in one connection: beyond this somebody is guessing addresses."""

MESSAGES_MAX: Final = 1000
"""MAIL commands in one connection (LIMITS MAILMAX, RFC 9422)."""

INPUT_PAUSE_OCTETS: Final = 65536
"""Unread pipelined input above which the caller should stop reading from the network."""

DISCARD_FACTOR: Final = 2
"""A message over the size limit is read and thrown away up to this many times the limit, so that its
sender can see the refusal; then the connection is closed."""

CHUNK_DIGITS_MAX: Final = 20
"""Digits of a SIZE or BDAT number (RFC 1870 section 4)."""

PATH_OCTETS_MAX: Final = 512
"""A path with its brackets. RFC 5321 section 4.5.3.1.3 says 256; twice that leaves room for a source
route, which is read and forgotten."""

ENVID_OCTETS_MAX: Final = 100
"""RFC 3461 section 4.4."""

ORCPT_OCTETS_MAX: Final = 500
"""RFC 3461 section 4.2."""

REPLY_LINE_OCTETS_MAX: Final = 2048
"""Client: one reply line. RFC 5321 section 4.5.3.1.5 says 512; real servers say more."""

REPLY_LINES_MAX: Final = 128
"""Client: lines of one reply. The longest honest EHLO reply has some thirty."""

STUFFED_NUMERATOR: Final = 4
STUFFED_DENOMINATOR: Final = 3
"""Dot-stuffing adds at most one octet to three (lines of a lone dot): what is on the wire may be 4/3 of
the size limit and the message itself still within it."""
