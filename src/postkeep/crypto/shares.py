"""A secret in k of n shares of words (SLIP-0039), and who holds which.

The roster of a ceremony tells whose share is wrong without telling a share: it keeps a salted SHA-256 of
each, and a share has 256 bits that nobody can guess. A share is checked against it before it is combined.
"""

import hashlib
import hmac
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from shamir_mnemonic import generate_mnemonics
from shamir_mnemonic.shamir import combine_mnemonics
from shamir_mnemonic.share import Share
from shamir_mnemonic.utils import MnemonicError
from shamir_mnemonic.wordlist import WORDLIST

from postkeep.base.errors import InvalidInputError, RefusedError
from postkeep.crypto.context import context

SECRET_BYTES: Final = 32
WORDS_PER_SHARE: Final = 33
"""Of a secret of 256 bits: 4 words of numbers, 26 of the share, 3 of checksum."""
SHARES_MAX: Final = 16
"""SLIP-0039 numbers shares with four bits."""
SALT_BYTES: Final = 16
NAME_CHARS_MAX: Final = 64
"""A holder's name, as it stands on a form."""
TEXT_CHARS_MAX: Final = 1024
"""A share of 33 words of at most eight letters, with room for layout."""
UNIQUE_LETTERS: Final = 4
"""The first four letters of a word of the list tell it from all others."""
_NUMBER_WORD: Final = 3
"""The word whose bits, with those before it, hold the share's number."""


class ShareError(RefusedError):
    """A share is not accepted; `holder` and `number` say whose, where that can be told."""

    def __init__(self, code: str, public_text: str, *, holder: str = "", number: int = 0) -> None:
        super().__init__(code=code, public_text=public_text)
        self.holder = holder
        self.number = number


@dataclass(frozen=True, slots=True)
class Holder:
    """One line of the roster."""

    number: int
    """From 1."""
    name: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Roster:
    """Who holds the shares of one ceremony, and how many of them open."""

    ceremony: int
    """SLIP-0039's identifier of the set, 15 bits."""
    threshold: int
    salt: bytes
    holders: tuple[Holder, ...]

    def bound(self) -> bytes:
        """Return the roster as bytes that a ciphertext is bound to: a changed name makes it fail."""
        lines = [context("share", holder.number, holder.name, holder.digest) for holder in self.holders]
        return context("share roster", self.ceremony, self.threshold, self.salt, *lines)


def split(secret: bytes, threshold: int, count: int) -> list[str]:
    """Split a secret of 32 bytes into `count` shares of 33 words, of which any `threshold` give it back."""
    if len(secret) != SECRET_BYTES:
        raise InvalidInputError("a secret for shares has 32 bytes")
    check_counts(threshold, count)
    shares: list[str] = generate_mnemonics(1, [(threshold, count)], secret)[0]
    return shares


def check_counts(threshold: int, count: int) -> None:
    """Raise InvalidInputError unless `count` shares with this threshold can be made."""
    if not 1 < threshold <= count <= SHARES_MAX:
        raise InvalidInputError(
            code="share.counts",
            public_text=f"There are at most {SHARES_MAX} shares, and a threshold from 2 to their number.",
        )


def roster_of(shares: Sequence[str], names: Sequence[str]) -> Roster:
    """Write down who holds which share; InvalidInputError if names repeat or are not names."""
    cleaned = [checked_name(name) for name in names]
    if len({name.casefold() for name in cleaned}) != len(shares) or len(cleaned) != len(shares):
        raise InvalidInputError(
            code="share.names", public_text="Each share has one holder, and no two have one name."
        )
    first = Share.from_mnemonic(shares[0])
    salt = os.urandom(SALT_BYTES)
    holders = tuple(
        Holder(number, name, share_digest(salt, share))
        for number, (name, share) in enumerate(zip(cleaned, shares, strict=True), start=1)
    )
    return Roster(first.identifier, first.member_threshold, salt, holders)


def checked_name(name: str) -> str:
    """Return a holder's name, trimmed; InvalidInputError if it is none."""
    name = " ".join(name.split())
    if not 0 < len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise InvalidInputError(
            code="share.name", public_text=f"A holder's name has 1 to {NAME_CHARS_MAX} printable characters."
        )
    return name


def share_digest(salt: bytes, share: str) -> bytes:
    """Return what the roster keeps of a share."""
    return hashlib.sha256(context("share digest", salt, share)).digest()


def completed(text: str) -> str:
    """Return a share as its words in full: four letters of each suffice, case and layout do not matter.

    ShareError (`share.word`, `share.length`) for what is no share at all.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise ShareError("share.length", f"A share has {WORDS_PER_SHARE} words.")
    words = text.lower().split()
    if len(words) != WORDS_PER_SHARE:
        raise ShareError("share.length", f"A share has {WORDS_PER_SHARE} words, this has {len(words)}.")
    return " ".join(word_in_full(word, position) for position, word in enumerate(words, start=1))


def word_in_full(word: str, position: int) -> str:
    """Return the word of the list that this one is, or begins."""
    for listed in WORDLIST:
        if listed == word or (len(word) >= UNIQUE_LETTERS and listed.startswith(word)):
            return str(listed)
    raise ShareError("share.word", f"Word {position} is not one of a share's words.", number=position)


def check_share(roster: Roster, text: str) -> tuple[Holder, str]:
    """Return whose share it is, and the share with its words in full.

    ShareError: `share.word`, `share.length`, `share.typo` (its checksum fails), `share.ceremony` (of another
    ceremony), `share.altered` (it says that it is someone's, and is not the one that was given out).
    """
    share = completed(text)
    try:
        parsed = Share.from_mnemonic(share)
    except MnemonicError:
        holder = _claimed(roster, share)
        whose = f" It seems to be {holder.name}'s (number {holder.number})." if holder else ""
        raise ShareError(
            "share.typo",
            f"A word of this share is wrong, or two are swapped: its checksum fails.{whose}",
            holder=holder.name if holder else "",
            number=holder.number if holder else 0,
        ) from None
    if parsed.identifier != roster.ceremony or parsed.member_threshold != roster.threshold:
        raise ShareError("share.ceremony", "This share is of another ceremony.", number=parsed.index + 1)
    holder = next((holder for holder in roster.holders if holder.number == parsed.index + 1), None)
    if holder is None or not hmac.compare_digest(holder.digest, share_digest(roster.salt, share)):
        name = holder.name if holder else ""
        raise ShareError(
            "share.altered",
            f"This share says it is number {parsed.index + 1}"
            + (
                f", {name}'s, but it is not the one that {name} was given."
                if holder
                else ", which nobody holds."
            ),
            holder=name,
            number=parsed.index + 1,
        )
    return holder, share


def combine(roster: Roster, texts: Iterable[str]) -> bytes:
    """Return the secret of a ceremony's shares; more than needed are checked too.

    ShareError as `check_share`, or `share.repeated`, or `share.too_few` if the threshold is not reached.
    """
    given: dict[int, str] = {}
    for text in texts:
        holder, share = check_share(roster, text)
        if holder.number in given:
            raise ShareError(
                "share.repeated",
                f"{holder.name}'s share was given twice.",
                holder=holder.name,
                number=holder.number,
            )
        given[holder.number] = share
    if len(given) < roster.threshold:
        absent = ", ".join(holder.name for holder in roster.holders if holder.number not in given)
        raise ShareError(
            "share.too_few",
            f"{len(given)} of {roster.threshold} shares were given. Not heard: {absent}.",
            holder=absent,
            number=len(given),
        )
    chosen = [given[number] for number in sorted(given)[: roster.threshold]]
    try:
        secret: bytes = combine_mnemonics(chosen)
    except MnemonicError as exc:  # each was checked, so the roster itself is not the ceremony's
        raise ShareError("share.combination", "These shares do not belong together.") from exc
    return secret


def _claimed(roster: Roster, share: str) -> Holder | None:
    """Guess whose mistyped share this is by the number in its fourth word."""
    index = WORDLIST.index(share.split()[_NUMBER_WORD]) >> 4 & 15
    return next((holder for holder in roster.holders if holder.number == index + 1), None)
