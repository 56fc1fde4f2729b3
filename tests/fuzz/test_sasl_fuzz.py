"""Whatever arrives in a SASL exchange: a value or a SaslError, and both halves agree on what is right."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postkeep.protocols.sasl import SaslError
from postkeep.protocols.sasl.bearer import read_oauthbearer, read_xoauth2
from postkeep.protocols.sasl.login import LoginClient, LoginServer
from postkeep.protocols.sasl.plain import read_plain, write_plain
from postkeep.protocols.sasl.saslprep import saslprep
from postkeep.protocols.sasl.scram import (
    ScramClient,
    ScramServer,
    derive_keys,
    read_client_final,
    read_client_first,
)

_NOISE = st.binary(max_size=300) | st.lists(
    st.sampled_from(
        [
            *(b"n,", b"y,", b"p=x,", b",", b"n=a", b"r=abc", b"c=biws", b"p=", b"=2C", b"\0", b"a=b", b"i=1"),
            *(b"\x01", b"auth=Bearer ", b"user=", b"\xff", b"host=x"),
        ]
    )
).map(b"".join)
_TEXT = st.text(min_size=1, max_size=40)
SALT = b"s" * 16


@settings(max_examples=1000, deadline=None)
@given(_NOISE)
def test_any_octets_are_parsed_or_refused(noise: bytes) -> None:
    for parse in (read_plain, read_client_first, read_client_final, read_oauthbearer, read_xoauth2):
        with contextlib.suppress(SaslError):
            parse(noise)
    with contextlib.suppress(SaslError):
        LoginServer().receive(noise)
    client = ScramClient("user", "pencil")
    with contextlib.suppress(SaslError):
        client.receive_first(noise)
    with pytest.raises(SaslError):
        client.receive_final(noise)
    server = ScramServer(read_client_first(b"n,,n=user,r=abc"), SALT, 4096)
    with pytest.raises(SaslError):
        server.finish(noise, [])


@settings(max_examples=300, deadline=None)
@given(_TEXT)
def test_saslprep_is_stable_or_refuses(text: str) -> None:
    with contextlib.suppress(SaslError):
        prepared = saslprep(text)
        assert saslprep(prepared) == prepared


@settings(max_examples=25, deadline=None)
@given(_TEXT, _TEXT, st.booleans())
def test_the_two_halves_agree(name: str, password: str, right: bool) -> None:  # noqa: FBT001 - a drawn value
    try:
        keys = derive_keys(password if right else password + "x", SALT, 4096)
        client = ScramClient(name, password)
        first = read_client_first(client.client_first)
    except SaslError:
        return
    assert first.name == saslprep(name)
    server = ScramServer(first, SALT, 4096)
    final = client.receive_first(server.server_first)
    if right:
        client.receive_final(server.finish(final, [keys])[1])
    else:
        with pytest.raises(SaslError):
            server.finish(final, [keys])


def test_login_asks_twice_and_a_client_answers_twice() -> None:
    server, client = LoginServer(), LoginClient("tim", "tanstaaf")
    assert server.challenge == b"Username:"
    assert server.receive(client.answer(server.challenge)) is None
    assert server.challenge == b"Password:"
    assert server.receive(client.answer(server.challenge)) == ("", "tim", "tanstaaf")
    with pytest.raises(SaslError):
        client.answer(b"?")


@pytest.mark.parametrize(
    "message",
    [
        b"p=tls-unique,,n=user,r=abc",
        b"n,,m=ext,n=user,r=abc",
        b"n,,n=us=er,r=abc",
        b"n,,n=,r=abc",
        b"n,,n=user,r=",
        b"n,,n=user,r=a\xc3\xa4",
        b"n,x=y,n=user,r=abc",
        b"n,,n=user,r=" + b"a" * 300,
        b"n,,n=" + b"u" * 5000 + b",r=a",
    ],
)
def test_what_scram_does_not_allow_first_is_refused(message: bytes) -> None:
    with pytest.raises(SaslError):
        read_client_first(message)


def test_a_scram_answer_of_another_exchange_is_refused() -> None:
    keys = derive_keys("pencil", SALT, 4096)
    client = ScramClient("user", "pencil")
    first = read_client_first(client.client_first)
    final = client.receive_first(ScramServer(first, SALT, 4096).server_first)
    with pytest.raises(SaslError):
        ScramServer(first, SALT, 4096).finish(final, [keys])


def test_a_client_does_not_work_for_a_weak_or_greedy_server() -> None:
    for count in (b"1", b"4095", b"99999999", b"-5", b"x"):
        client = ScramClient("user", "pencil", nonce="abc")
        with pytest.raises(SaslError):
            client.receive_first(b"r=abcdef,s=c2FsdA==,i=" + count)


def test_plain_with_empty_or_odd_parts_is_refused() -> None:
    for message in (
        b"",
        b"\0\0",
        b"a\0b",
        b"\0\0p",
        b"\0u\0",
        b"a\0b\0c\0d",
        b"\0u\xff\0p",
        b"\0u\0" + b"p" * 5000,
    ):
        with pytest.raises(SaslError):
            read_plain(message)
    with pytest.raises(SaslError):
        write_plain("a\0b", "c")
    assert "secret" not in repr(read_plain(b"\0tim\0secret"))
