"""The examples of RFC 7628 section 4 and of the older XOAUTH2, and the server's words of section 3.2.2."""

import base64

import msgspec
import pytest

from postkeep.protocols.sasl import MESSAGE_BYTES_MAX, SaslError
from postkeep.protocols.sasl.bearer import (
    BearerCredentials,
    oauthbearer_error,
    read_oauthbearer,
    read_xoauth2,
    write_oauthbearer,
    write_xoauth2,
    xoauth2_error,
)

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="


def test_the_successful_exchange_of_rfc_7628_is_read() -> None:  # section 4.1
    sent = base64.b64decode(
        "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyI"
        "HZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )
    assert read_oauthbearer(sent) == BearerCredentials("user@example.com", TOKEN)


def test_the_older_form_is_read() -> None:
    sent = base64.b64decode(
        "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
    )
    assert read_xoauth2(sent) == BearerCredentials(
        "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"
    )


def test_a_refusal_is_told_as_json() -> None:
    assert msgspec.json.decode(oauthbearer_error("imap")) == {"status": "invalid_token", "scope": "imap"}
    assert msgspec.json.decode(xoauth2_error("imap"))["status"] == "401"


def test_what_a_client_writes_is_read_back() -> None:
    for name in ("ann@example.com", "a=b,c@example.com", "安@例子.公司"):
        assert read_oauthbearer(write_oauthbearer(TOKEN, name)) == BearerCredentials(name, TOKEN)
        assert read_xoauth2(write_xoauth2(TOKEN, name)) == BearerCredentials(name, TOKEN)
    assert read_oauthbearer(write_oauthbearer(TOKEN)) == BearerCredentials("", TOKEN)
    assert TOKEN not in repr(read_oauthbearer(write_oauthbearer(TOKEN)))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n,,",
        b"n,,\x01\x01",
        b"n,,\x01auth=Bearer x",
        b"n,,\x01auth=Bearer x\x01",
        b"n,,\x01auth=Basic x\x01\x01",
        b"n,,\x01auth=Bearer \x01\x01",
        b"n,,\x01auth=Bearer x y\x01\x01",
        b"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01",
        b"n,,\x01Auth Bearer x\x01\x01",
        b"n,x,\x01auth=Bearer x\x01\x01",
        b"n,,x\x01auth=Bearer x\x01\x01",
        b"p=tls-server-end-point,,\x01auth=Bearer x\x01\x01",
        b"n,,\x01auth=Bearer \xff\x01\x01",
        b"n,,\x01auth=Bearer x\x00\x01\x01",
        b"n,,\x01auth=Bearer " + b"x" * 2049 + b"\x01\x01",
        b"n,,\x01host=" + b"x" * MESSAGE_BYTES_MAX + b"\x01auth=Bearer x\x01\x01",
        b"user=x\x01auth=Bearer x\x01\x01",
    ],
)
def test_what_is_no_oauthbearer_message_is_refused(message: bytes) -> None:
    with pytest.raises(SaslError):
        read_oauthbearer(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"user=x",
        b"user=x\x01\x01",
        b"auth=Bearer x\x01\x01",
        b"user=" + b"x" * 1024 + b"\x01auth=Bearer x\x01\x01",
    ],
)
def test_what_is_no_message_of_the_older_form_is_refused(message: bytes) -> None:
    with pytest.raises(SaslError):
        read_xoauth2(message)
