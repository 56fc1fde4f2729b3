"""Known answers of SLIP-0039 (its published vectors 1 and 4, passphrase TREZOR), by the library that we use.

Our own shares have 33 words, of 256 bits, and no passphrase; `tests/unit/test_shares.py` tries those.
"""

import pytest
from shamir_mnemonic import combine_mnemonics
from shamir_mnemonic.utils import MnemonicError

ALONE = (
    "duckling enlarge academic academic agency result length solution fridge kidney coal piece deal husband "
    "erode duke ajar critical decision keyboard"
)
FIRST = (
    "shadow pistol academic always adequate wildlife fancy gross oasis cylinder mustang wrist rescue view "
    "short owner flip making coding armed"
)
SECOND = (
    "shadow pistol academic acid actress prayer class unknown daughter sweater depict flip twice unkind "
    "craft early superior advocate guest smoking"
)


def test_published_shares_give_the_published_secrets() -> None:
    assert combine_mnemonics([ALONE], b"TREZOR").hex() == "bb54aac4b89dc868ba37d9cc21b2cece"
    assert combine_mnemonics([FIRST, SECOND], b"TREZOR").hex() == "b43ceb7e57a0ea8766221624d01b0864"


def test_a_word_altered_or_a_share_too_few_gives_nothing() -> None:
    with pytest.raises(MnemonicError):
        combine_mnemonics([ALONE.replace("keyboard", "kidney")], b"TREZOR")
    with pytest.raises(MnemonicError):
        combine_mnemonics([FIRST], b"TREZOR")
