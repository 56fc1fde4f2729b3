"""Ledgers made by hand, with keys of our own: what the verifier is tried on. Shares no code with Postkeep."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

ORIGIN = "mail.example/ledger/1"
WITNESS = "witness.example/w1"
START_MS = 1_800_000_000_000
ED25519, COSIGNATURE, MLDSA44 = 1, 4, 6

KEY = Ed25519PrivateKey.from_private_bytes(b"key of the verifier's test logs!")
POST_QUANTUM = MLDSA44PrivateKey.from_seed_bytes(b"post-quantum key for test logs!!")
WITNESS_KEY = Ed25519PrivateKey.from_private_bytes(b"key of a witness for test logs!!")


def key_id(name: str, kind: int, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def vkey(name: str, kind: int, public: bytes) -> str:
    encoded = base64.b64encode(bytes([kind]) + public).decode()
    return f"{name}+{key_id(name, kind, public).hex()}+{encoded}"


KEYS = [
    vkey(ORIGIN, ED25519, KEY.public_key().public_bytes_raw()),
    vkey(ORIGIN, MLDSA44, POST_QUANTUM.public_key().public_bytes_raw()),
]
WITNESS_VKEY = vkey(WITNESS, COSIGNATURE, WITNESS_KEY.public_key().public_bytes_raw())


def root(leaves: Sequence[bytes]) -> bytes:
    """The recursive definition of RFC 9162 section 2.1.1, as it stands there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\x01" + root(leaves[:half]) + root(leaves[half:])).digest()


def leaves_of(entries: Iterable[bytes]) -> list[bytes]:
    return [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]


def line(name: str, kind: int, public: bytes, signature: bytes) -> str:
    return f"\u2014 {name} {base64.b64encode(key_id(name, kind, public) + signature).decode()}\n"


def checkpoint(
    size: int,
    root_hash: bytes,
    *,
    origin: str = ORIGIN,
    post_quantum: bool = True,
    witnessed_at: int = 0,
    key: Ed25519PrivateKey = KEY,
) -> bytes:
    text = f"{origin}\n{size}\n{base64.b64encode(root_hash).decode()}\n"
    note = text + "\n" + line(origin, ED25519, key.public_key().public_bytes_raw(), key.sign(text.encode()))
    if post_quantum:
        stamp, name = (1_800_000_001).to_bytes(8, "big"), bytes([len(origin)]) + origin.encode()
        message = b"subtree/v1\n\0" + name + stamp + name + bytes(8) + size.to_bytes(8, "big") + root_hash
        public = POST_QUANTUM.public_key().public_bytes_raw()
        note += line(origin, MLDSA44, public, stamp + POST_QUANTUM.sign(message))
    if witnessed_at:
        message = f"cosignature/v1\ntime {witnessed_at}\n{text}".encode()
        signature = witnessed_at.to_bytes(8, "big") + WITNESS_KEY.sign(message)
        note += line(WITNESS, COSIGNATURE, WITNESS_KEY.public_key().public_bytes_raw(), signature)
    return note.encode()


def path_of(level: int | str, index: int, width: int = 256) -> str:
    text = f"{index:03d}"
    if index >= 1000:
        text = f"x{index // 1000:03d}/{index % 1000:03d}"
    return f"tile/{level}/{text}" + ("" if width == 256 else f".p/{width}")


def write_tiles(log: Path, entries: Sequence[bytes]) -> bytes:
    """Write bundles and tiles; return the root."""
    leaves = leaves_of(entries)
    for start in range(0, len(entries), 256):
        part = entries[start : start + 256]
        data = b"".join(len(entry).to_bytes(2, "big") + entry for entry in part)
        put(log / path_of("entries", start // 256, len(part)), data)
    level, row = 0, leaves
    while row:
        for start in range(0, len(row), 256):
            part = row[start : start + 256]
            put(log / path_of(level, start // 256, len(part)), b"".join(part))
        row = [root(row[i : i + 256]) for i in range(0, len(row) - 255, 256)]
        level += 1
    return root(leaves)


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def name_of(number: int) -> str:
    return f"{number:032x}"


@dataclass
class Story:
    """Events in the order of the log, numbered per source, one second apart."""

    events: list[dict[str, Any]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    now_ms: int = START_MS

    def tell(self, event: str, source: str, *, after_ms: int = 1000, **fields: Any) -> int:
        self.now_ms += after_ms
        self.numbers[source] = self.numbers.get(source, 0) + 1
        head = {"event": event, "time_ms": self.now_ms, "source": source, "number": self.numbers[source]}
        self.events.append(head | fields)
        return len(self.events) - 1

    def ticket(self, ticket: int, **fields: Any) -> int:
        known: dict[str, Any] = {"ticket": name_of(ticket), "count": 300, "note": "user"}
        return self.tell("ticket.issue", "authority-0.aa", **known | fields)

    def read(self, ticket: int, person: int, event: str = "mail.read", **fields: Any) -> int:
        return self.tell(event, "vault-0.aa", **self.of(ticket, person), **fields)

    def release(self, ticket: int, person: int, **fields: Any) -> int:
        known = self.of(ticket, person) | {"method": "kms.open_epochs", "count": 1}
        return self.tell("key.release", "kms-0.aa", **known | fields)

    def of(self, ticket: int, person: int) -> dict[str, Any]:
        return {
            "tenant": name_of(7),
            "principal": name_of(person),
            "module": "imap",
            "instance": "imap-0.aa",
            "session": name_of(1000 + person),
            "ticket": name_of(ticket),
        }

    def session(self, ticket: int, person: int) -> None:
        """Sign in, read, be given a key, read on: all as it should be."""
        self.ticket(ticket, **{k: v for k, v in self.of(ticket, person).items() if k != "ticket"})
        self.read(ticket, person)
        self.release(ticket, person)
        self.read(ticket, person)

    def later(self, seconds: int = 2000) -> None:
        """Let time go by, so that what is open must be judged."""
        self.tell("heartbeat", "authority-0.aa", after_ms=1000 * seconds)

    def entries(self) -> list[bytes]:
        return [json.dumps(event, separators=(",", ":")).encode() for event in self.events]


def write(directory: Path, story: Story | Sequence[bytes], **signing: Any) -> list[bytes]:
    """Write a ledger that tells a story; return its entries."""
    entries = story.entries() if isinstance(story, Story) else list(story)
    head = write_tiles(directory / "log", entries)
    put(directory / "log" / "checkpoint", checkpoint(len(entries), head, **signing))
    return entries


def long_story(sessions: int = 200) -> Story:
    """A ledger of 4 entries a session and one more, some bundles long."""
    story = Story()
    for number in range(sessions):
        story.session(number + 1, number % 5)
    story.later()
    return story


Mutation = Callable[[list[bytes]], list[bytes]]
