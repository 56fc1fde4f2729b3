"""What may follow what: the one table of the server's states (RFC 5321 section 4.1.4)."""

from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final


class State(IntEnum):
    """Where a session stands between two commands."""

    START = 0
    """Greeted; nobody has said hello."""
    READY = 1
    MAIL = 2
    """A sender, no recipient yet."""
    RCPT = 3
    """At least one accepted recipient."""
    CHUNKS = 4
    """Some of the message has come by BDAT."""
    DATA = 5
    """Everything up to the lone dot is the message."""
    AUTH = 6
    """Lines belong to a SASL exchange."""
    TLS = 7
    """STARTTLS was granted: not one octet is read before the handshake."""
    CLOSED = 8


class Verb(StrEnum):
    """The commands that the server knows."""

    EHLO = "EHLO"
    HELO = "HELO"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BDAT = "BDAT"
    RSET = "RSET"
    NOOP = "NOOP"
    VRFY = "VRFY"
    EXPN = "EXPN"
    HELP = "HELP"
    QUIT = "QUIT"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"


def _with_asides(state: State, forward: dict[Verb, State]) -> dict[Verb, State]:
    """Add the commands that are allowed between any two: they answer and change nothing, or start over."""
    start_over = State.START if state is State.START else State.READY
    return {
        Verb.EHLO: State.READY,
        Verb.HELO: State.READY,
        Verb.RSET: start_over,
        Verb.NOOP: state,
        Verb.VRFY: state,
        Verb.EXPN: state,
        Verb.HELP: state,
        Verb.QUIT: State.CLOSED,
        **forward,
    }


TABLE: Final = MappingProxyType(
    {
        State.START: _with_asides(State.START, {}),
        State.READY: _with_asides(
            State.READY, {Verb.MAIL: State.MAIL, Verb.STARTTLS: State.TLS, Verb.AUTH: State.AUTH}
        ),
        State.MAIL: _with_asides(State.MAIL, {Verb.RCPT: State.RCPT}),
        State.RCPT: _with_asides(
            State.RCPT, {Verb.RCPT: State.RCPT, Verb.DATA: State.DATA, Verb.BDAT: State.CHUNKS}
        ),
        State.CHUNKS: _with_asides(State.CHUNKS, {Verb.BDAT: State.CHUNKS}),
    }
)
"""For each state the commands it takes, with the state that a positive answer leads to. What is not in it
is `503 5.5.1`. In DATA, AUTH and TLS no line is a command; after CLOSED nothing is read."""
