"""Media that hold data, as values: what each is, where it was, and what became of it. `decide` is pure.

    registered -> withdrawn -> sanitised -> verified -> released | destroyed

A sanitisation or a verification that failed is written down too, and leaves the medium withdrawn. Each entry
of the history carries the digest of the one before it, so that none can be changed or left out; the last
digest of each act stands in the ledger.
"""

import hashlib
import unicodedata
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from postkeep.base.errors import ConflictError, IntegrityError, InvalidInputError, RefusedError
from postkeep.crypto.context import context
from postkeep.services.steward.media_methods import CRYPTOGRAPHIC_ERASE, METHODS, Table

TEXT_CHARACTERS_MAX: Final = 200
"""Characters of a serial number, a place, a name or a remark."""

SERIALS_MAX: Final = 16
"""Serial numbers of one asset: the drives of a small shelf."""

HISTORY_MAX: Final = 200
"""Entries of one asset's history: many failed attempts, and an end to them."""

WITNESSES: Final = 2
HASH_HEX_CHARACTERS: Final = 64  # SHA-256

ENCRYPTED: Final = ("always", "partly", "never")
"""`always`: not one block was ever written in the clear."""

RESULTS: Final = ("passed", "failed")


class State(StrEnum):
    """Where a medium stands."""

    REGISTERED = "registered"
    WITHDRAWN = "withdrawn"
    SANITISED = "sanitised"
    VERIFIED = "verified"
    RELEASED = "released"
    DESTROYED = "destroyed"


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One act in a medium's life."""

    act: str
    """`register`, `withdraw`, `sanitise`, `verify` or `release`."""
    at_ms: int
    actor: str
    """Who entered it, as the ledger names staff."""
    by: str = ""
    """Who did it, by name."""
    method: str = ""
    technique: str = ""
    tool: str = ""
    """With what, and how it was verified: a program and its version, a machine and its number."""
    result: str = ""
    witnesses: tuple[str, ...] = ()
    photo: str = ""
    """SHA-256 of a photograph, hexadecimal; the picture itself is kept elsewhere."""
    certificate: str = ""
    """Identifier of the certificate that the keys are destroyed."""
    fate: str = ""
    remark: str = ""
    token: str = ""
    """Of the command that entered it: the same command sent again enters it once."""
    digest: str = ""
    """SHA-256 over this entry and the digest of the one before."""
    ledger: int = -1
    """Its index in the ledger; not part of the digest, as it is known only afterwards."""


class Asset(msgspec.Struct, frozen=True):
    """One medium."""

    id: bytes
    tag: str
    medium: str
    serials: tuple[str, ...]
    site: str
    rack: str
    host: str
    slot: str
    categories: tuple[str, ...]
    """The data categories that it held."""
    encrypted: str
    state: State = State.REGISTERED
    history: tuple[Entry, ...] = ()


def register(asset: Asset, entry: Entry, table: Table) -> Asset:
    """Return a checked new asset with the first entry of its history."""
    table.medium(asset.medium)
    table.check_categories(asset.categories)
    if asset.encrypted not in ENCRYPTED:
        raise InvalidInputError(
            code="invalid.media_encrypted", public_text=f"Encrypted is one of: {', '.join(ENCRYPTED)}."
        )
    if not asset.tag or not asset.serials or len(asset.serials) > SERIALS_MAX:
        raise InvalidInputError(
            code="invalid.media_tag", public_text=f"A medium has a tag and 1 to {SERIALS_MAX} serial numbers."
        )
    _check_texts((asset.tag, *asset.serials, asset.site, asset.rack, asset.host, asset.slot))
    return _append(asset, entry, State.REGISTERED)


def decide(asset: Asset, entry: Entry, table: Table) -> Asset:
    """Return the asset after an act; RefusedError or InvalidInputError, with a text, if it may not happen."""
    _check_texts((entry.by, entry.tool, entry.remark, *entry.witnesses))
    if len(asset.history) >= HISTORY_MAX:
        raise RefusedError(public_text="The history of this medium is full.", code="refused.media_history")
    steps = {
        "withdraw": (State.REGISTERED, _withdraw),
        "sanitise": (State.WITHDRAWN, _sanitise),
        "verify": (State.SANITISED, _verify),
        "release": (State.VERIFIED, _release),
    }
    expected, step = steps[entry.act]
    if asset.state is not expected:
        raise ConflictError(
            f"the medium is {asset.state}",
            code="conflict.media_state",
            public_text=f"{asset.tag} is {asset.state}; to {entry.act} it, it must be {expected}.",
        )
    return _append(asset, entry, step(asset, entry, table))


def verify_history(asset: Asset) -> None:
    """Raise IntegrityError if an entry of the history was changed, or one is missing in its middle."""
    previous = ""
    for entry in asset.history:
        if entry.digest != _digest(asset, entry, previous):
            raise IntegrityError(f"the history of {asset.tag} does not fit together")
        previous = entry.digest


def sanitisation(asset: Asset) -> Entry:
    """Return the sanitisation that stands."""
    return next(entry for entry in reversed(asset.history) if entry.act == "sanitise")


def name_key(name: str) -> str:
    """Return a person's name in the form in which two are compared."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _withdraw(_asset: Asset, entry: Entry, _table: Table) -> State:
    if not entry.remark:
        raise InvalidInputError(
            code="invalid.media_reason", public_text="Say why the medium is withdrawn: --reason TEXT."
        )
    return State.WITHDRAWN


def _sanitise(asset: Asset, entry: Entry, table: Table) -> State:
    table.check(asset.medium, entry.method, entry.technique)
    _check_result(entry)
    if len({name_key(name) for name in entry.witnesses} - {"", name_key(entry.by)}) < WITNESSES:
        raise InvalidInputError(
            code="invalid.media_witnesses",
            public_text=f"A sanitisation has {WITNESSES} witnesses, different people who did not do it: "
            "--witness NAME --witness NAME.",
        )
    if entry.photo:
        _check_hex(entry.photo, HASH_HEX_CHARACTERS)
    if entry.technique == CRYPTOGRAPHIC_ERASE and (asset.encrypted != "always" or not entry.certificate):
        raise RefusedError(
            "a cryptographic erase without its conditions",
            code="refused.media_cryptographic_erase",
            public_text="A cryptographic erase counts only where everything was always encrypted and the "
            "destruction of the keys is certified: give --certificate.",
        )
    return State.SANITISED if entry.result == "passed" else State.WITHDRAWN


def _verify(asset: Asset, entry: Entry, _table: Table) -> State:
    _check_result(entry)
    if name_key(entry.by) == name_key(sanitisation(asset).by):
        raise RefusedError(
            "verified by whoever did it",
            code="refused.media_verifier",
            public_text="Whoever sanitised a medium does not verify it.",
        )
    return State.VERIFIED if entry.result == "passed" else State.WITHDRAWN


def _release(asset: Asset, entry: Entry, table: Table) -> State:
    least, done = table.least(asset.categories, entry.fate), sanitisation(asset).method
    if METHODS.index(done) < METHODS.index(least):
        raise RefusedError(
            "the method is too weak",
            code="refused.media_weak",
            public_text=f"{asset.tag} held data that ask for {least} where the medium is to {entry.fate}; "
            f"it was sanitised by {done}.",
        )
    return State.DESTROYED if done == "destroy" else State.RELEASED


def _append(asset: Asset, entry: Entry, state: State) -> Asset:
    previous = asset.history[-1].digest if asset.history else ""
    entry = msgspec.structs.replace(entry, digest=_digest(asset, entry, previous))
    return msgspec.structs.replace(asset, state=state, history=(*asset.history, entry))


def _digest(asset: Asset, entry: Entry, previous: str) -> str:
    """Digest an entry; the first one stands for what the asset is as well."""
    plain = msgspec.structs.replace(entry, digest="", ledger=-1)
    fixed = msgspec.structs.replace(asset, state=State.REGISTERED, history=())
    octets = context(
        "media record",
        asset.id,
        msgspec.json.encode(fixed, order="deterministic"),
        previous,
        msgspec.json.encode(plain, order="deterministic"),
    )
    return hashlib.sha256(octets).hexdigest()


def _check_result(entry: Entry) -> None:
    if entry.result not in RESULTS:
        raise InvalidInputError(
            code="invalid.media_result", public_text=f"A result is one of: {', '.join(RESULTS)}."
        )
    if not entry.by or not entry.tool:
        raise InvalidInputError(
            code="invalid.media_by", public_text="Say who did it and with what: --by NAME --tool TEXT."
        )


def _check_hex(text: str, length: int) -> None:
    try:
        octets = bytes.fromhex(text)
    except ValueError as exc:
        raise InvalidInputError(code="invalid.media_hash", public_text="That is no hash.") from exc
    if len(octets) * 2 != length or len(text) != length:
        raise InvalidInputError(
            code="invalid.media_hash", public_text=f"A hash has {length} hexadecimal digits."
        )


def _check_texts(texts: Iterable[str]) -> None:
    for text in texts:
        if len(text) > TEXT_CHARACTERS_MAX or not text.isprintable():
            raise InvalidInputError(
                code="invalid.media_text",
                public_text=f"A text has at most {TEXT_CHARACTERS_MAX} printable characters.",
            )
