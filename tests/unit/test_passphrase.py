import pytest

from postkeep.base.errors import IntegrityError, RefusedError
from postkeep.crypto import passphrase
from postkeep.crypto.wrap import Wrapper, subkey

CHEAP = passphrase.Cost(1, 64, 1)


def test_the_passphrase_opens_what_it_sealed() -> None:
    sealed = passphrase.seal(b"correct horse", b"s" * 32, b"root", CHEAP)
    assert b"s" * 32 not in sealed
    assert passphrase.unseal(b"correct horse", sealed, b"root") == b"s" * 32


@pytest.mark.parametrize(
    ("word", "path"), [(b"wrong horse", b"root"), (b"", b"root"), (b"correct", b"other")]
)
def test_a_wrong_passphrase_or_path_is_refused_with_its_own_code(word: bytes, path: bytes) -> None:
    sealed = passphrase.seal(b"correct", b"s" * 32, b"root", CHEAP)
    with pytest.raises(RefusedError) as caught:
        passphrase.unseal(word, sealed, path)
    assert caught.value.code == "wrong_passphrase"
    assert "passphrase is wrong" in caught.value.public_text


def test_the_costs_stand_in_the_file_and_cannot_be_changed() -> None:
    sealed = bytearray(passphrase.seal(b"correct", b"s" * 32, b"root", CHEAP))
    assert sealed[1:5] == (1).to_bytes(4, "big")
    sealed[4] = 2
    with pytest.raises(RefusedError):
        passphrase.unseal(b"correct", bytes(sealed), b"root")


@pytest.mark.parametrize(
    ("at", "value"), [(0, b"\x02"), (1, b"\xff"), (5, b"\xff"), (9, b"\x00"), (9, b"\xff"), (1, bytes(4))]
)
def test_impossible_costs_are_refused_before_they_are_paid(at: int, value: bytes) -> None:
    sealed = bytearray(passphrase.seal(b"correct", b"s" * 32, b"root", CHEAP))
    sealed[at : at + len(value)] = value
    with pytest.raises(IntegrityError):
        passphrase.unseal(b"correct", bytes(sealed), b"root")


def test_a_sealed_secret_cut_short_is_refused() -> None:
    with pytest.raises(IntegrityError):
        passphrase.unseal(b"correct", b"\x01\x00", b"root")


def test_a_wrapped_key_opens_under_its_key_and_path_only() -> None:
    wrapper = Wrapper(b"k" * 32)
    wrapped = wrapper.wrap(b"secret", b"path")
    assert wrapper.unwrap(wrapped, b"path") == b"secret"
    assert wrapper.wrap(b"secret", b"path") != wrapped
    for key, value, path in (
        (b"x" * 32, wrapped, b"path"),
        (b"k" * 32, wrapped, b"other"),
        (b"k" * 32, wrapped[:-1], b"path"),
        (b"k" * 32, b"\x02" + wrapped[1:], b"path"),
        (b"k" * 32, b"", b"path"),
    ):
        with pytest.raises(IntegrityError):
            Wrapper(key).unwrap(value, path)
    with pytest.raises(IntegrityError):
        Wrapper(b"short")


def test_a_subkey_needs_its_parent_its_path_and_its_slot() -> None:
    keys = {
        subkey(parent, path, slot)
        for parent in (b"a" * 32, b"b" * 32)
        for path in (b"p", b"q")
        for slot in (b"", b"s" * 32, b"t" * 32)
    }
    assert len(keys) == 12
    assert all(len(key) == 32 for key in keys)
