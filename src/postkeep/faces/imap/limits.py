"""What one client may take of this face. Every limit has its unit and its reason."""

from typing import Final, NamedTuple


class ConnectionLimits(NamedTuple):
    """How many connections one process of this face takes; `[imap]` in the configuration."""

    connections_max: int = 12_000
    """In all: ten thousand idle clients and some room."""
    strangers_max: int = 512
    """Not signed in yet; the rest waits in the kernel's queue. Each may hold a handshake and a sign-in."""
    strangers_per_network_max: int = 256
    """Of them from one IPv4 address or IPv6 /64: an office whose people all come back at once, but not a
    single machine that takes every place."""
    connections_per_person_max: int = 100
    """Signed in as one person: several devices with several connections each."""


CROWDED_SECONDS_MAX: Final = 10.0
"""A stranger may keep us waiting, while there is no room for others."""
CROWDED_LOOK_SECONDS: Final = 1.0
"""How often strangers are looked at while there is no room."""
STILL_HERE_SECONDS: Final = 200.0
"""Quiet time of an idling client after which it is told that we are still there: below the four minutes after
which common address translators and load balancers forget a connection."""
STILL_HERE_SPREAD: Final = 0.3
"""Share of it by which connections differ, so that those that came together are not told together."""
HANDSHAKE_SECONDS_MAX: Final = 20.0
"""For a TLS handshake."""
SIGN_IN_SECONDS_MAX: Final = 60.0
"""From connecting until a client has signed in, whatever it says meanwhile."""
IDLE_SECONDS_MAX: Final = 31 * 60.0
"""Without a word from the client: RFC 3501 section 5.4 asks for at least 30 minutes."""
WRITE_SECONDS_MAX: Final = 120.0
"""For a client that does not take what it asked for."""
WRITE_BUFFER_BYTES: Final = 256 * 1024
"""Octets that wait for a slow client before a command pauses."""
BAD_COMMANDS_MAX: Final = 20
"""Commands in a row that can't be understood, before we hang up."""
SIGN_IN_FAILURES_MAX: Final = 5
"""On one connection, before we hang up."""
SIGN_IN_DELAY_SECONDS: Final = 0.5
"""After the first failure; doubles with each further one."""
APPEND_BYTES_MAX: Final = 50 * 1024 * 1024
"""One message (RFC 7889), the same as mx takes."""
SUMMARIES_PER_CALL: Final = 512
"""Sealed summaries asked of the vault at once: about a megabyte."""
ROWS_PER_WRITE: Final = 8_192
"""Messages whose rows FETCH reads, and answers, at a stretch: about half a megabyte, some 10 ms."""
BYTES_PER_WRITE: Final = 256 * 1024
"""FETCH answers put together into one write."""
CONTENT_BYTES_PER_CALL: Final = 2 * 1024 * 1024
"""Sealed octets asked of the vault at once; what one connection holds of content at any moment."""
CONTENT_RANGES_PER_CALL: Final = 256
"""Ranges asked of the vault at once."""
SEARCH_PART_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one text part that BODY and TEXT look into."""
WHOLE_KEYRING_FROM: Final = 32
"""Missing epochs of one command from which on all of the principal's are opened at once."""
EPOCHS_PER_CALL: Final = 2_000
"""Epochs asked of kms at once."""
CONFLICT_RETRIES: Final = 10
"""Attempts at a change of the mailbox list that others change too."""
CONFLICT_WAIT_SECONDS: Final = 0.01
"""The longest pause after the first of them; grows with each."""
RENEW_SCAN_SECONDS: Final = 5.0
"""How often commands that run are looked at for tickets that run out under them."""
KEEP_SECONDS: Final = 240.0
"""How often the authority is told which sessions are still held: a fifth of the time after which it takes one
for abandoned."""
SESSIONS_PER_CALL: Final = 1_000
"""Sessions that the authority is told of at once."""
WATCHES_AT_ONCE: Final = 32
"""Calls under way while everybody is watched again, after the vault was away."""
RENEW_BEFORE_SECONDS: Final = 60
"""A ticket with less than this left is renewed."""
