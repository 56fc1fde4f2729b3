"""What supervisor and child tell each other: one MessagePack value per packet on a socket pair."""

import socket
from typing import Final, Literal

import msgspec

FRAME_BYTES_MAX: Final = 160 * 1024
"""The largest packet, a page of metrics; the kernel's default socket buffer holds 208 KiB."""


class Anchor(msgspec.Struct, frozen=True, tag=True):
    """Believe this public key (`authority`, `start`, `directory`, `ledger`); from a child: tell everyone."""

    name: str
    public_key: bytes


class Distrust(msgspec.Struct, frozen=True, tag=True):
    """Stop believing this authority key."""

    public_key: bytes


class Enrolment(msgspec.Struct, frozen=True, tag=True):
    """A one-time secret to enrol with; a new one comes after a restart of the authority."""

    secret: bytes


class Login(msgspec.Struct, frozen=True, tag=True):
    """The database login of this start."""

    dsn: str


class RootSecrets(msgspec.Struct, frozen=True, tag=True):
    """To kms: what opens the root key; two while its seal is being changed, the newest first."""

    values: list[bytes]


class Start(msgspec.Struct, frozen=True, tag=True):
    """All values are there: begin."""


class Expect(msgspec.Struct, frozen=True, tag=True):
    """To the authority: this instance may enrol once, from this process."""

    module: str
    instance: str
    secret_digest: bytes
    uid: int
    pid: int


class Departed(msgspec.Struct, frozen=True, tag=True):
    """To the authority: this instance's process has ended; another may get its number."""

    instance: str


class Retire(msgspec.Struct, frozen=True, tag=True):
    """From the authority: believe this key of it for so many seconds more."""

    public_key: bytes
    seconds: float


class DatabaseRefusal(msgspec.Struct, frozen=True, tag=True):
    """To the steward: the database has refused a login; `name` says whose, or to what."""

    name: str


class Withheld(msgspec.Struct, frozen=True, tag=True):
    """From kms, before it is ready: why it gives no keys until somebody has decided."""

    reason: Literal["restored", "ledger"]


class CopyDatabase(msgspec.Struct, frozen=True, tag=True):
    """From the backup worker: copy the database, up to a restore point of this name."""

    point: str


class DatabaseCopy(msgspec.Struct, frozen=True, tag=True):
    """To the backup worker, with a descriptor: there the copy comes."""


class AskScan(msgspec.Struct, frozen=True, tag=True):
    """From the steward: search every file of the node; `request` as `services.destruction.scan` has it."""

    number: int
    request: bytes


class Scanned(msgspec.Struct, frozen=True, tag=True):
    """To the steward, from the errand that has searched; empty: it could not."""

    number: int
    report: bytes


class Credentials(msgspec.Struct, frozen=True, tag=True):
    """To the backup worker: the file of credentials for its target."""

    value: bytes


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Finish what is under way and return."""


class AskMetrics(msgspec.Struct, frozen=True, tag=True):
    """Send a page of metrics."""

    number: int


class Metrics(msgspec.Struct, frozen=True, tag=True):
    """A page of metrics in Prometheus' text format."""

    number: int
    page: bytes


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The module answers."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The module could not start or go on; the process ends right after."""

    code: str
    text: str
    temporary: bool = False
    """Trying again may help: something it needs was away."""


class HoldRootSecret(msgspec.Struct, frozen=True, tag=True):
    """From kms, while it changes the seal of the root key: what to hold for its next start."""

    step: Literal["add", "settle", "drop"]
    value: bytes = b""


ToChild = (
    Anchor
    | Distrust
    | Enrolment
    | Login
    | RootSecrets
    | Start
    | Expect
    | Departed
    | Stop
    | AskMetrics
    | DatabaseRefusal
    | DatabaseCopy
    | Credentials
    | Scanned
)
FromChild = Anchor | Retire | Metrics | Ready | Failed | HoldRootSecret | Withheld | CopyDatabase | AskScan

_to_child: msgspec.msgpack.Decoder[ToChild] = msgspec.msgpack.Decoder(ToChild)
_from_child: msgspec.msgpack.Decoder[FromChild] = msgspec.msgpack.Decoder(FromChild)
encode = msgspec.msgpack.Encoder().encode


def pair() -> tuple[socket.socket, socket.socket]:
    """Make a link: the supervisor's end and the child's, both without blocking."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def decode_to_child(packet: bytes) -> ToChild:
    """Read what the supervisor sent."""
    return _to_child.decode(packet)


def decode_from_child(packet: bytes) -> FromChild:
    """Read what a child sent; raises msgspec.DecodeError for anything that is none of it."""
    return _from_child.decode(packet)
