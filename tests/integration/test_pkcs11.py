"""K10: a key in a PKCS#11 token (SoftHSM) wraps the root key, never leaves, and its errors help."""

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import pkcs11
import pytest
from tests.softhsm import MODULE, SoftHsm

from postkeep.base.errors import IntegrityError
from postkeep.base.secret import Secret
from postkeep.services.kms.pkcs11 import Token, TokenError, TokenPlace
from postkeep.services.kms.root_change import RootSeals
from postkeep.services.kms.root_kinds import RootKind

PIN = b"246810"


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    made = SoftHsm(tmp_path / "hsm").make()
    made.token("card", PIN.decode())
    return made


def apart(hsm: SoftHsm, work: Callable[..., None], *arguments: object) -> None:
    """Run a test's body in a process of its own: a module takes its configuration once in a process."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_with_configuration, args=(str(hsm.conf), work, arguments))
    process.start()
    process.join(60)
    assert process.exitcode == 0


def _with_configuration(conf: str, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    import os

    os.environ["SOFTHSM2_CONF"] = conf
    work(*arguments)


def token(pin: bytes = PIN, label: str = "card", key: str = "root", module: str = str(MODULE)) -> Token:
    return Token(TokenPlace(module, label, key), Secret(pin))


def code_of(work: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(TokenError) as caught:
        work()
    return caught.value.code, caught.value.public_text


def _wraps_and_stays() -> None:
    first = token()
    assert code_of(lambda: first.wrap(b"s" * 32, b"path"))[0] == "token_key"
    first.ensure_key()
    first.ensure_key()
    wrapped = first.wrap(b"s" * 32, b"path")
    assert b"s" * 32 not in wrapped
    first.close()
    second = token()
    assert second.unwrap(wrapped, b"path") == b"s" * 32
    for bad, path in (
        (wrapped, b"other"),
        (wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b"path"),
        (b"", b"path"),
    ):
        with pytest.raises(IntegrityError):
            second.unwrap(bad, path)
    second.close()
    session = pkcs11.lib(str(MODULE)).get_token(token_label="card").open(user_pin=PIN.decode())
    key = session.get_key(label="root")
    assert key[pkcs11.Attribute.SENSITIVE]
    assert not key[pkcs11.Attribute.EXTRACTABLE]
    with pytest.raises(pkcs11.PKCS11Error):
        _ = key[pkcs11.Attribute.VALUE]
    session.close()


def _says_what_is_wrong() -> None:
    right = token()
    right.ensure_key()
    right.close()
    code, words = code_of(lambda: token(b"999999").wrap(b"s", b"p"))
    assert (code, "PIN" in words, "tries" in words) == ("token_pin", True, True)
    code, words = code_of(lambda: token(label="purse").wrap(b"s", b"p"))
    assert (code, "'card'" in words) == ("token_absent", True)
    code, words = code_of(lambda: token(module="/usr/lib/none.so").wrap(b"s", b"p"))
    assert (code, "/usr/lib/none.so" in words) == ("token_module", True)
    code, words = code_of(lambda: token(key="other").wrap(b"s", b"p"))
    assert (code, "'other'" in words) == ("token_key", True)


def _refuses_a_key_that_may_leave() -> None:
    session = pkcs11.lib(str(MODULE)).get_token(token_label="card").open(rw=True, user_pin=PIN.decode())
    session.generate_key(
        pkcs11.KeyType.AES, 256, label="root", store=True, template={pkcs11.Attribute.EXTRACTABLE: True}
    )
    session.close()
    code, words = code_of(lambda: token().wrap(b"s", b"p"))
    assert (code, "may leave" in words) == ("token_key", True)


def _gives_up_on_a_token_that_hangs() -> None:
    slow = Token(TokenPlace(str(MODULE), "card", "root"), Secret(PIN), seconds_max=0.3)
    begun = time.monotonic()
    code, _ = code_of(lambda: slow._call(lambda: time.sleep(5)))
    assert code == "token_hung"
    assert code_of(lambda: slow.wrap(b"s", b"p"))[0] == "token_hung"
    slow.close()
    assert time.monotonic() - begun < 4


def _seals_the_root_key(directory: str) -> None:
    place = TokenPlace(str(MODULE), "card", "root")
    seals = RootSeals(Path(directory), place)
    root = Secret(b"\x05" * 32)
    seals.of(RootKind.PKCS11, Secret(PIN)).seal(root)
    assert seals.current(Secret(PIN)).open().reveal() == root.reveal()
    assert root.reveal() not in (Path(directory) / "root.pkcs11").read_bytes()
    assert code_of(seals.current(Secret(b"000000")).open)[0] == "token_pin"
    other = RootSeals(Path(directory), TokenPlace(str(MODULE), "card", "another"))
    made = token(key="another")
    made.ensure_key()
    made.close()
    with pytest.raises(IntegrityError) as caught:
        other.current(Secret(PIN)).open()
    assert "another key" in caught.value.public_text


def test_a_token_wraps_and_its_key_never_leaves(hsm: SoftHsm) -> None:
    apart(hsm, _wraps_and_stays)


def test_what_is_wrong_with_a_token_is_said_in_words_that_help(hsm: SoftHsm) -> None:
    apart(hsm, _says_what_is_wrong)


def test_a_key_that_could_leave_its_token_is_not_used(hsm: SoftHsm) -> None:
    apart(hsm, _refuses_a_key_that_may_leave)


def test_a_token_that_hangs_holds_nothing_up(hsm: SoftHsm) -> None:
    apart(hsm, _gives_up_on_a_token_that_hangs)


def test_the_root_key_is_sealed_by_a_token(hsm: SoftHsm, tmp_path: Path) -> None:
    apart(hsm, _seals_the_root_key, str(tmp_path))
