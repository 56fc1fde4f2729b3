"""Root key and TLS identity: what an operator meets at the start of a node."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from postkeep.base.clock import FixedClock
from postkeep.base.errors import IntegrityError, InvalidInputError, PostkeepError, RefusedError
from postkeep.base.secret import Secret
from postkeep.crypto import passphrase
from postkeep.services.kms import tls
from postkeep.services.kms.root import FileSeal, PassphraseSeal, RootSeal, make_check, unseal_root
from postkeep.services.kms.root_change import choose_seal
from postkeep.services.kms.root_generations import RootKeys
from postkeep.services.kms.signing import NamedKeys
from postkeep.stores.kms_installation import KmsInstallationRows
from postkeep.stores.postgres import load_migrations, migrate, open_pool

CHEAP = passphrase.Cost(1, 64, 1)


@asynccontextmanager
async def installation(dsn: str) -> AsyncIterator[KmsInstallationRows]:
    pool = await open_pool(dsn)
    try:
        async with pool.acquire() as connection:
            await migrate(connection, "kms", load_migrations("postkeep.stores.sql.kms"))
        yield KmsInstallationRows(pool)
    finally:
        await pool.close()


def unseal(dsn: str, seal: RootSeal) -> bytes:
    async def scenario() -> bytes:
        async with installation(dsn) as rows:
            return (await unseal_root(seal, rows)).reveal()

    return asyncio.run(scenario())


def with_passphrase(directory: Path, word: bytes) -> PassphraseSeal:
    return PassphraseSeal(directory, Secret(word), CHEAP)


def test_a_passphrase_opens_the_root_key_and_another_is_refused_in_plain_words(
    dsn: str, tmp_path: Path
) -> None:
    root = unseal(dsn, with_passphrase(tmp_path, b"correct horse"))
    assert unseal(dsn, with_passphrase(tmp_path, b"correct horse")) == root
    assert root not in (tmp_path / "root.sealed").read_bytes()
    with pytest.raises(RefusedError) as caught:
        unseal(dsn, with_passphrase(tmp_path, b"wrong horse"))
    assert caught.value.code == "wrong_passphrase"
    assert "passphrase is wrong" in caught.value.public_text
    with pytest.raises(InvalidInputError) as none:
        unseal(dsn, with_passphrase(tmp_path, b""))
    assert none.value.code == "no_passphrase"


def test_a_damaged_sealed_file_is_never_replaced(dsn: str, tmp_path: Path) -> None:
    unseal(dsn, with_passphrase(tmp_path, b"word"))
    whole = (tmp_path / "root.sealed").read_bytes()
    for damaged in (b"", whole[:10], whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        (tmp_path / "root.sealed").write_bytes(damaged)
        with pytest.raises(PostkeepError):
            unseal(dsn, with_passphrase(tmp_path, b"word"))
        assert (tmp_path / "root.sealed").read_bytes() == damaged


def test_a_start_that_crashed_after_sealing_goes_on_with_the_same_key(dsn: str, tmp_path: Path) -> None:
    made = b"\x07" * 32
    FileSeal(tmp_path).seal(Secret(made))
    assert unseal(dsn, FileSeal(tmp_path)) == made
    assert (tmp_path / "root.key").stat().st_mode & 0o777 == 0o600


def test_the_configuration_names_the_seal_and_a_node_sealed_otherwise_is_not_opened(tmp_path: Path) -> None:
    assert isinstance(choose_seal("file", tmp_path, Secret(b"")), FileSeal)
    assert isinstance(choose_seal("", tmp_path, Secret(b"")), FileSeal)
    assert isinstance(choose_seal("passphrase", tmp_path, Secret(b"x")), PassphraseSeal)
    with pytest.raises(InvalidInputError) as unknown:
        choose_seal("magic", tmp_path, Secret(b""))
    assert "passphrase" in unknown.value.public_text
    FileSeal(tmp_path).seal(Secret(b"\x07" * 32))
    with pytest.raises(InvalidInputError) as other:
        choose_seal("passphrase", tmp_path, Secret(b"x"))
    assert other.value.code == "bad_configuration"


def test_a_root_file_of_another_length_is_refused(dsn: str, tmp_path: Path) -> None:
    FileSeal(tmp_path).seal(Secret(b"\x07" * 32))
    (tmp_path / "root.key").write_bytes(bytes(31))
    with pytest.raises(IntegrityError):
        unseal(dsn, FileSeal(tmp_path))


async def named_keys(rows: KmsInstallationRows, clock: FixedClock) -> NamedKeys:
    """Named keys under a root key that the store knows."""
    root = Secret(b"r" * 32)
    if not await rows.root_checks():
        await rows.set_root_check(make_check(root))
    return NamedKeys(RootKeys.single(root), rows, clock)


class Identities:
    """TLS identities on one database, with a clock that the test moves."""

    def __init__(self, rows: KmsInstallationRows) -> None:
        self.clock = FixedClock()
        self._rows = rows

    async def release(self, hostname: str = "mail.example.com") -> list[x509.Certificate]:
        named = await named_keys(self._rows, self.clock)
        identity = await tls.open_tls(named, hostname, ("", ""), self.clock)
        return x509.load_pem_x509_certificates(await identity.release())


def test_the_server_certificate_is_kept_until_a_month_before_its_end(dsn: str) -> None:
    async def scenario() -> None:
        async with installation(dsn) as rows:
            identities = Identities(rows)
            server, ca = await identities.release()
            life = server.not_valid_after_utc - server.not_valid_before_utc
            assert life <= dt.timedelta(days=365)
            assert await identities.release() == [server, ca]
            identities.clock.advance(86_400 * (365 - 31))
            assert await identities.release() == [server, ca]
            identities.clock.advance(86_400 * 2)
            renewed, same_ca = await identities.release()
            assert same_ca == ca
            assert renewed != server
            assert renewed.not_valid_after_utc > server.not_valid_after_utc
            renewed.verify_directly_issued_by(ca)

    asyncio.run(scenario())


def test_another_host_name_gets_another_certificate_from_the_same_ca(dsn: str) -> None:
    async def scenario() -> None:
        async with installation(dsn) as rows:
            identities = Identities(rows)
            first, ca = await identities.release()
            second, same_ca = await identities.release("mx.example.net")
            assert (first != second, ca) == (True, same_ca)
            names = second.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert names.get_values_for_type(x509.DNSName) == ["mx.example.net", "localhost"]
            assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
            assert (await identities.release("192.0.2.7"))[0] != second

    asyncio.run(scenario())


def test_the_ca_may_sign_servers_and_no_further_authority(dsn: str) -> None:
    async def scenario() -> None:
        async with installation(dsn) as rows:
            server, ca = await Identities(rows).release()
            limits = ca.extensions.get_extension_for_class(x509.BasicConstraints).value
            assert (limits.ca, limits.path_length) == (True, 0)
            assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
            usage = server.extensions.get_extension_for_class(x509.KeyUsage).value
            assert not usage.key_cert_sign

    asyncio.run(scenario())


def test_the_operators_own_certificate_is_used_and_mistakes_show_at_the_start(
    dsn: str, tmp_path: Path
) -> None:
    authority = trustme.CA()
    one, two = authority.issue_cert("mail.example.com"), authority.issue_cert("other.example.com")
    chain, key, other_key = tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "other.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in one.cert_chain_pems))
    key.write_bytes(one.private_key_pem.bytes())
    other_key.write_bytes(two.private_key_pem.bytes())

    async def released(*own: str) -> bytes:
        async with installation(dsn) as rows:
            clock = FixedClock(dt.datetime.now(dt.UTC).timestamp())
            named = await named_keys(rows, clock)
            identity = await tls.open_tls(named, "mail.example.com", (own[0], own[1]), clock)
            return await identity.release()

    value = asyncio.run(released(str(chain), str(key)))
    assert x509.load_pem_x509_certificates(value) == x509.load_pem_x509_certificates(chain.read_bytes())
    for own in (
        (str(chain), str(other_key)),
        (str(chain), ""),
        (str(tmp_path / "none"), str(key)),
        (str(key), str(key)),
    ):
        with pytest.raises(InvalidInputError) as caught:
            asyncio.run(released(*own))
        assert caught.value.code == "bad_configuration"
