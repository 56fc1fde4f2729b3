"""K10: shares of words. Enough open; too few, wrong, altered and foreign ones are told apart, by holder."""

import itertools
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shamir_mnemonic.share import Share
from shamir_mnemonic.wordlist import WORDLIST

from postkeep.base.errors import InvalidInputError
from postkeep.crypto import shares
from postkeep.crypto.shares import Roster, ShareError

NAMES = ["Ann", "Bo Li", "Cid", "Dan", "Eve"]
SECRET = os.urandom(32)
MADE = shares.split(SECRET, 3, 5)
ROSTER = shares.roster_of(MADE, NAMES)


def refusal(texts: list[str], roster: Roster = ROSTER) -> ShareError:
    with pytest.raises(ShareError) as caught:
        shares.combine(roster, texts)
    return caught.value


def test_any_three_of_five_open_and_any_two_do_not() -> None:
    for chosen in itertools.combinations(MADE, 3):
        assert shares.combine(ROSTER, chosen) == SECRET
    for two in itertools.combinations(MADE, 2):
        error = refusal(list(two))
        assert error.code == "share.too_few"
        assert len(error.holder.split(", ")) == 3


def test_more_than_enough_open_too_but_not_if_one_of_them_is_wrong() -> None:
    assert shares.combine(ROSTER, MADE) == SECRET
    foreign = shares.split(os.urandom(32), 3, 5)
    assert refusal([*MADE[:3], foreign[3]]).code == "share.ceremony"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4), st.integers(0, 32), st.sampled_from(WORDLIST))
def test_a_changed_word_is_noticed_and_never_combined(whose: int, position: int, word: str) -> None:
    words = MADE[whose].split()
    if words[position] == word:
        return
    words[position] = word
    others = [share for share in MADE if share != MADE[whose]]
    error = refusal([others[0], others[1], " ".join(words)])
    assert error.code == "share.typo"
    if position > 3:
        assert error.holder == NAMES[whose]
        assert NAMES[whose] in error.public_text


def test_a_share_made_up_with_a_right_checksum_is_reported_under_its_holders_name() -> None:
    parsed = Share.from_mnemonic(MADE[1])
    value = bytes([parsed.value[0] ^ 1]) + parsed.value[1:]
    forged = Share(**{**parsed.__dict__, "value": value}).mnemonic()
    error = refusal([MADE[0], MADE[2], forged])
    assert (error.code, error.holder, error.number) == ("share.altered", "Bo Li", 2)


def test_a_share_of_another_ceremony_is_called_that() -> None:
    foreign = shares.split(SECRET, 3, 5)
    error = refusal([MADE[0], foreign[1], MADE[2]])
    assert error.code == "share.ceremony"


def test_one_share_twice_counts_once() -> None:
    error = refusal([MADE[0], MADE[0], MADE[1]])
    assert (error.code, error.holder) == ("share.repeated", "Ann")


def test_four_letters_of_a_word_suffice_and_case_does_not_matter() -> None:
    short = ["  ".join(word[:4].upper() for word in share.split()) for share in MADE[:3]]
    assert shares.combine(ROSTER, short) == SECRET


@pytest.mark.parametrize(
    ("given_text", "code"),
    [
        ("", "share.length"),
        ("academic " * 34, "share.length"),
        ("word " * 33, "share.word"),
        ("a" * 2000, "share.length"),
    ],
)
def test_what_is_no_share_is_refused(given_text: str, code: str) -> None:
    assert refusal([given_text]).code == code


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=400))
def test_no_text_makes_the_check_do_anything_but_refuse(given_text: str) -> None:
    with pytest.raises(ShareError):
        shares.check_share(ROSTER, given_text)


@pytest.mark.parametrize(("threshold", "count"), [(1, 5), (6, 5), (2, 17), (0, 0), (-1, 3)])
def test_impossible_counts_are_refused(threshold: int, count: int) -> None:
    with pytest.raises(InvalidInputError):
        shares.split(SECRET, threshold, count)


@pytest.mark.parametrize(
    "names", [["A", "a", "C", "D", "E"], ["A"] * 5, ["A", "B", "C", "D"], ["", "B", "C", "D", "E"]]
)
def test_each_holder_has_one_name(names: list[str]) -> None:
    with pytest.raises(InvalidInputError):
        shares.roster_of(MADE, names)


def test_the_roster_gives_no_word_away_and_differs_from_ceremony_to_ceremony() -> None:
    again = shares.roster_of(MADE, NAMES)
    assert again.salt != ROSTER.salt
    assert {holder.digest for holder in again.holders}.isdisjoint(holder.digest for holder in ROSTER.holders)
    assert again.bound() != ROSTER.bound()
