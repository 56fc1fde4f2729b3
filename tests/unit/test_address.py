import pytest

from postkeep.base.address import Address, parse_address, parse_domain
from postkeep.base.errors import InvalidInputError


def test_a_plain_address_keeps_its_local_part_and_lowers_its_domain() -> None:
    assert parse_address("Alice.B@Example.COM") == Address("Alice.B", "example.com")


def test_the_lookup_key_ignores_case_and_normal_form() -> None:
    assert parse_address("Zoe\u0308@x.org").key == parse_address("zo\u00eb@X.ORG").key


def test_a_quoted_local_part_is_unquoted_and_written_back_quoted() -> None:
    address = parse_address('"a \\" b"@x.org')
    assert address.local == 'a " b'
    assert str(address) == '"a \\" b"@x.org'


def test_an_international_domain_becomes_its_a_label_form() -> None:
    assert parse_domain("例え.テスト") == "xn--r8jz45g.xn--zckzah"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@x",
        "a@",
        "a b@x.org",
        "a@-x.org",
        "a@x..org",
        ".a@x.org",
        "a@" + "x" * 64 + ".org",
        "é" * 33 + "@x.org",
        "a\n@x.org",
        '"a\n"@x.org',
        "a@x.org\n",
    ],
)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_address(text)
