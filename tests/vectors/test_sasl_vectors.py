"""The examples of RFC 7677 section 3, RFC 4616 section 4 and RFC 4013 section 3."""

import base64

import pytest

from postkeep.protocols.sasl import SaslError
from postkeep.protocols.sasl.plain import read_plain, write_plain
from postkeep.protocols.sasl.saslprep import saslprep
from postkeep.protocols.sasl.scram import ScramClient, ScramServer, derive_keys, read_client_first

CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_server_half_follows_rfc_7677() -> None:
    salt = base64.b64decode(b"W22ZaJ0SNY7soEsUEjb6gQ==")
    server = ScramServer(read_client_first(CLIENT_FIRST), salt, 4096, nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    assert server.first.name == "user"
    assert server.server_first == SERVER_FIRST
    wrong, right = derive_keys("pencils", salt, 4096), derive_keys("pencil", salt, 4096)
    assert server.finish(CLIENT_FINAL, [wrong, right]) == (1, SERVER_FINAL)
    with pytest.raises(SaslError) as caught:
        server.finish(CLIENT_FINAL, [wrong])
    assert caught.value.code == "refused.proof"


def test_the_client_half_follows_rfc_7677() -> None:
    client = ScramClient("user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    assert client.client_first == CLIENT_FIRST
    assert client.receive_first(SERVER_FIRST) == CLIENT_FINAL
    client.receive_final(SERVER_FINAL)
    with pytest.raises(SaslError):
        client.receive_final(SERVER_FINAL.replace(b"6rri", b"7rri"))


def test_plain_follows_rfc_4616() -> None:
    assert read_plain(b"\0tim\0tanstaaftanstaaf") == ("", "tim", "tanstaaftanstaaf")
    assert read_plain(b"Ursel\0Kurt\0xipj3plmq") == ("Ursel", "Kurt", "xipj3plmq")
    assert read_plain(write_plain("tim", "täst")) == ("", "tim", "täst")


@pytest.mark.parametrize(
    ("given", "prepared"),
    [("I\xadX", "IX"), ("user", "user"), ("USER", "USER"), ("\xaa", "a"), ("\u2168", "IX")],
)
def test_saslprep_maps_as_in_rfc_4013(given: str, prepared: str) -> None:
    assert saslprep(given) == prepared


@pytest.mark.parametrize("given", ["\x07", "\u06271"])
def test_saslprep_refuses_as_in_rfc_4013(given: str) -> None:
    with pytest.raises(SaslError):
        saslprep(given)


def test_an_exchange_is_bound_to_the_channel_it_goes_over() -> None:  # RFC 5802 section 6, RFC 5929
    salt = b"0123456789abcdef"
    keys = derive_keys("pencil", salt)

    def exchange(clients: bytes, servers: bytes) -> tuple[int, bytes]:
        client = ScramClient("user", "pencil", binding=clients)
        first = read_client_first(client.client_first, plus=True, offered=True)
        server = ScramServer(first, salt, binding=servers)
        result = server.finish(client.receive_first(server.server_first), [keys])
        client.receive_final(result[1])
        return result

    assert exchange(b"certificate", b"certificate")[0] == 0
    with pytest.raises(SaslError) as caught:
        exchange(b"certificate", b"another's")
    assert caught.value.code == "refused.binding"


def test_a_client_that_was_not_shown_the_binding_is_told_apart() -> None:
    message = b"y,,n=user,r=abc"
    assert read_client_first(message).gs2_header == "y,,"
    with pytest.raises(SaslError) as caught:
        read_client_first(message, offered=True)
    assert caught.value.code == "refused.downgrade"
    for other, plus in (
        (b"n,,n=user,r=abc", True),
        (b"y,,n=user,r=abc", True),
        (b"p=tls-unique,,n=user,r=abc", True),
        (b"p=tls-exporter,,n=user,r=abc", True),
        (b"p=tls-server-end-point,,n=user,r=abc", False),
    ):
        with pytest.raises(SaslError):
            read_client_first(other, plus=plus)
