"""The directory at the authority: addresses, groups, administration, and what lies in the database."""

import asyncio
from pathlib import Path

import pytest
from tests.authority_world import Office, key_of, run
from tests.warrants import narrower_than, person_warrant, tenant_warrant

from postkeep.base.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError
from postkeep.base.ids import NOBODY, new_id
from postkeep.services.authority import api


def test_addresses_resolve_through_aliases_and_nested_groups_to_distinct_people(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(office: Office) -> None:
        alice, bob = await office.person("alice"), await office.person("bob")
        gone = await office.person("gone")
        await office.admin.create_alias(api.CreateAlias("al@example.com", alice), ticket=office.staff)
        inner = await office.group("inner", ["al@example.com", "bob@example.com", "outer@example.com"])
        await office.group(
            "outer",
            [
                "inner@example.com",
                "alice@example.com",
                "x@elsewhere.test",
                "gone@example.com",
                "typo@example.com",
            ],
        )
        await office.group("empty", [])
        await office.admin.set_status(api.SetStatus(gone, "disabled"), ticket=office.staff)
        mx = office.client(office.module("mx"))
        asked = [
            "ALICE@Example.COM",
            "al@example.com",
            "nobody@example.com",
            "gone@example.com",
            "x@elsewhere.test",
            "not an address",
            "outer@example.com",
            "inner@example.com",
            "empty@example.com",
        ]
        routes = (await mx.resolve(api.Resolve(asked))).routes
        assert [route.address for route in routes] == asked
        assert [route.status for route in routes] == [
            "local",
            "local",
            "unknown",
            "disabled",
            "foreign",
            "unknown",
            "local",
            "local",
            "disabled",
        ]
        assert routes[0].recipients == routes[1].recipients
        assert sorted(item.key.principal for item in routes[6].recipients) == sorted([alice, bob])
        assert routes[6].forwards == ["x@elsewhere.test"]
        assert sorted(item.key.principal for item in routes[7].recipients) == sorted([alice, bob])
        await office.admin.set_members(api.SetMembers(inner, ["bob@example.com"]), ticket=office.staff)
        (route,) = (await mx.resolve(api.Resolve(["inner@example.com"]))).routes
        assert [item.key.principal for item in route.recipients] == [bob]

    run(dsn, tmp_path, scenario)


def test_each_change_takes_the_directory_on_and_wakes_the_feed(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        mx = office.client(office.module("mx"))
        page = await mx.poll_feed(0, -1, 5.0)
        waiting = asyncio.create_task(mx.poll_feed(page.position, page.directory_version, 5.0))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await office.person("alice")
        later = await asyncio.wait_for(waiting, 5.0)
        assert later.directory_version > page.directory_version
        routes = await mx.resolve(api.Resolve(["alice@example.com"]))
        assert routes.version == later.directory_version

    run(dsn, tmp_path, scenario)


def test_administration_shows_what_it_made_and_refuses_conflicts(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        staff, admin = office.staff, office.admin
        alice = await office.person("alice")
        info = await admin.find(api.Find("alice@example.com"), ticket=staff)
        assert (info.principal, info.name, info.kind, info.status) == (alice, "Alice", "user", "active")
        with pytest.raises(ConflictError):
            await office.person("alice")
        await admin.add_domain(api.AddDomain(office.tenant, "example.org"), ticket=staff)
        await admin.create_alias(api.CreateAlias("alice@example.org", alice), ticket=staff)
        with pytest.raises(ConflictError):
            await admin.remove_domain(api.RemoveDomain("example.org"), ticket=staff)
        with pytest.raises(ConflictError):
            await admin.delete_alias(api.DeleteAlias("alice@example.com"), ticket=staff)
        await admin.delete_alias(api.DeleteAlias("alice@example.org"), ticket=staff)
        await admin.remove_domain(api.RemoveDomain("example.org"), ticket=staff)
        with pytest.raises(NotFoundError):
            await admin.create_alias(api.CreateAlias("alice@example.org", alice), ticket=staff)
        with pytest.raises(InvalidInputError):
            await office.person("weak", "short")
        with pytest.raises(NotFoundError):
            await admin.grant_address(api.GrantAddress(alice, "boss@elsewhere.test"), ticket=staff)
        await admin.set_quota(api.SetQuota(alice, 10**9), ticket=staff)
        listed = await admin.list_principals(api.ListPrincipals(office.tenant, "user"), ticket=staff)
        assert [(item.address, item.quota_bytes) for item in listed.principals] == [
            ("alice@example.com", 10**9)
        ]
        (tenant,) = (await admin.list_tenants(api.ListTenants(), ticket=staff)).tenants
        assert (tenant.name, tenant.domains, tenant.users) == ("Example", ["example.com"], 1)
        assert await admin.find_tenant(api.FindTenant("EXAMPLE.com"), ticket=staff) == tenant
        mx = office.client(office.module("mx"))
        assert (await mx.queue_key(api.QueueKey(office.tenant))).tenant == office.tenant
        assert (await mx.queue_key(api.QueueKey(b""))).tenant == NOBODY
        company = tenant_warrant(office.tenant)
        with pytest.raises(RefusedError):
            await admin.delete_tenant(api.DeleteTenant(company), ticket=staff)
        with pytest.raises(RefusedError):  # a person is no group, whose end an operator's word would do for
            await admin.delete_group(api.DeleteGroup(alice), ticket=staff)
        for narrower in narrower_than(person_warrant(office.tenant, alice)):
            approved = office.destroyer(narrower)
            for attempt in (
                admin.delete_principal(api.DeletePrincipal(narrower), ticket=approved),
                admin.delete_tenant(api.DeleteTenant(narrower), ticket=approved),
            ):
                with pytest.raises(RefusedError) as caught:
                    await attempt
                assert caught.value.code == "refused.unit"
        await admin.delete_tenant(api.DeleteTenant(company), ticket=office.destroyer(company))
        assert (await admin.list_tenants(api.ListTenants(), ticket=staff)).tenants == []
        (route,) = (await mx.resolve(api.Resolve(["alice@example.com"]))).routes
        assert route.status == "foreign"

    run(dsn, tmp_path, scenario)


def test_no_address_name_or_password_is_readable_in_the_database(
    dsn: str, tmp_path: Path, cluster_dir: Path
) -> None:
    words = [b"zanzibar", b"quetzalcoatl", b"xylophonist", b"yggdrasil"]

    async def scenario(office: Office) -> None:
        await office.admin.create_user(
            api.CreateUser(
                office.tenant,
                principal := new_id(),
                "zanzibar@example.com",
                "Quetzalcoatl",
                "xylophonist music",
                None,
                key_of(office.tenant, principal),
            ),
            ticket=office.staff,
        )
        await office.admin.create_alias(
            api.CreateAlias("yggdrasil@example.com", principal), ticket=office.staff
        )
        await office.pool.execute("CREATE TABLE proof (word text)")
        await office.pool.execute("INSERT INTO proof VALUES ('an Ouagadougou of the search')")
        await office.pool.execute("CHECKPOINT")
        found = dict.fromkeys([*words, b"Ouagadougou", b"example.com"], 0)
        for path in (cluster_dir / "data").rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                for word in found:
                    found[word] += data.lower().count(word.lower())
        assert found[b"Ouagadougou"] > 0
        assert found[b"example.com"] > 0
        assert {word: found[word] for word in words} == dict.fromkeys(words, 0)

    run(dsn, tmp_path, scenario)


def test_a_row_moved_to_another_place_does_not_open(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        await office.person("alice")
        mallory = await office.person("mallory", "mallory's own one")
        await office.pool.execute(
            "UPDATE credentials SET sealed = (SELECT sealed FROM credentials WHERE principal <> $1) "
            "WHERE principal = $1",
            mallory,
        )
        with pytest.raises(Exception, match="integrity"):
            await office.sign_in("mallory")

    run(dsn, tmp_path, scenario)
