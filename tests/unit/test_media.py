"""The register of media: which technique for which medium, how strong for which data, and a history that
can't be changed (NIST SP 800-88 revision 2: clear, purge, destroy)."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postkeep.base.errors import ConflictError, IntegrityError, InvalidInputError, RefusedError
from postkeep.model.categories import Category
from postkeep.services.steward import media
from postkeep.services.steward.media import Asset, Entry, State
from postkeep.services.steward.media_methods import CRYPTOGRAPHIC_ERASE, FATES, METHODS, table

TABLE = table()


def registered(
    medium: str = "ssd-nvme", *, categories: tuple[str, ...] = ("content",), **fields: str
) -> Asset:
    blank = Asset(b"a" * 16, "A-1", medium, ("S1",), "dc", "r1", "h1", "0", categories, "always")
    blank = msgspec.structs.replace(blank, **fields)
    return media.register(blank, Entry("register", 1, "operator"), TABLE)


def withdrawn(
    medium: str = "ssd-nvme", *, categories: tuple[str, ...] = ("content",), **fields: str
) -> Asset:
    asset = registered(medium, categories=categories, **fields)
    return media.decide(asset, Entry("withdraw", 2, "operator", remark="worn out"), TABLE)


def sanitise(method: str, technique: str, **fields: object) -> Entry:
    entry = Entry(
        "sanitise",
        3,
        "operator",
        by="Bob",
        method=method,
        technique=technique,
        tool="nvme-cli 2.3",
        result="passed",
        witnesses=("Ann", "Eve"),
    )
    return msgspec.structs.replace(entry, **fields)


def verified(asset: Asset) -> Asset:
    return media.decide(
        asset, Entry("verify", 4, "operator", by="Carl", tool="read all", result="passed"), TABLE
    )


def test_every_category_of_data_has_a_sensitivity_and_every_technique_is_explained() -> None:
    assert TABLE.sensitivity.keys() == set(Category)
    used = {name for one in TABLE.media.values() for method in METHODS for name in one.techniques(method)}
    assert used == TABLE.techniques.keys()
    assert all(
        rule.keys() == set(FATES) and set(rule.values()) <= set(METHODS) for rule in TABLE.required.values()
    )
    assert set(TABLE.sensitivity.values()) <= TABLE.required.keys()


@pytest.mark.parametrize("medium", ["sed", "ssd-sata", "ssd-nvme", "usb-flash", "phone", "optical", "paper"])
def test_degaussing_is_refused_for_what_is_not_magnetic_and_the_refusal_names_what_is_allowed(
    medium: str,
) -> None:
    with pytest.raises(RefusedError) as refused:
        media.decide(withdrawn(medium), sanitise("purge", "degauss"), TABLE)
    assert refused.value.code == "refused.media_method"
    for technique in TABLE.medium(medium).destroy:
        assert technique in refused.value.public_text


def test_a_whole_life_ends_in_destruction() -> None:
    asset = media.decide(withdrawn(), sanitise("destroy", "disintegrate"), TABLE)
    assert asset.state is State.SANITISED
    asset = verified(asset)
    asset = media.decide(asset, Entry("release", 5, "operator", fate="leave"), TABLE)
    assert asset.state is State.DESTROYED
    media.verify_history(asset)


@pytest.mark.parametrize(
    ("category", "method", "technique", "fate", "allowed"),
    [
        ("content", "purge", "sanitize-block-erase", "reuse", True),
        ("content", "purge", "sanitize-block-erase", "leave", False),
        ("content", "clear", "overwrite", "reuse", False),
        ("metadata", "clear", "overwrite", "reuse", True),
        ("metadata", "clear", "overwrite", "leave", False),
        ("operations", "purge", "sanitize-block-erase", "leave", True),
        ("secret", "purge", "sanitize-block-erase", "leave", False),
        ("secret", "destroy", "melt", "leave", True),
    ],
)
def test_a_medium_goes_only_where_its_most_sensitive_data_allow(
    category: str, method: str, technique: str, fate: str, *, allowed: bool
) -> None:
    asset = withdrawn(categories=("operations", category))
    asset = verified(media.decide(asset, sanitise(method, technique), TABLE))
    entry = Entry("release", 5, "operator", fate=fate)
    if allowed:
        assert media.decide(asset, entry, TABLE).state in {State.RELEASED, State.DESTROYED}
    else:
        with pytest.raises(RefusedError) as refused:
            media.decide(asset, entry, TABLE)
        assert refused.value.code == "refused.media_weak"


def test_a_cryptographic_erase_needs_encryption_from_the_first_block_and_a_certificate() -> None:
    erase = sanitise("purge", CRYPTOGRAPHIC_ERASE, certificate="ab" * 16)
    assert media.decide(withdrawn(), erase, TABLE).state is State.SANITISED
    for asset, entry in (
        (withdrawn(encrypted="partly"), erase),
        (withdrawn(encrypted="never"), erase),
        (withdrawn(), msgspec.structs.replace(erase, certificate="")),
    ):
        with pytest.raises(RefusedError) as refused:
            media.decide(asset, entry, TABLE)
        assert refused.value.code == "refused.media_cryptographic_erase"


@pytest.mark.parametrize(
    "witnesses",
    [(), ("Ann",), ("Ann", "ann"), ("Ann", " ANN "), ("Bob", "Ann"), ("Ann", ""), ("Ａnn", "Ann")],  # noqa: RUF001 - a look-alike on purpose
)
def test_two_witnesses_are_two_people_who_did_not_do_it(witnesses: tuple[str, ...]) -> None:
    entry = sanitise("destroy", "melt", witnesses=witnesses)
    with pytest.raises(InvalidInputError, match="witnesses"):
        media.decide(withdrawn(), entry, TABLE)


def test_whoever_sanitised_does_not_verify() -> None:
    asset = media.decide(withdrawn(), sanitise("destroy", "melt"), TABLE)
    with pytest.raises(RefusedError, match="verified by whoever did it"):
        media.decide(asset, Entry("verify", 4, "operator", by="BOB ", tool="look", result="passed"), TABLE)


def test_what_failed_is_written_down_and_leaves_the_medium_withdrawn() -> None:
    asset = media.decide(withdrawn(), sanitise("destroy", "melt", result="failed"), TABLE)
    assert asset.state is State.WITHDRAWN
    asset = media.decide(asset, sanitise("destroy", "melt"), TABLE)
    asset = media.decide(
        asset, Entry("verify", 4, "operator", by="Carl", tool="look", result="failed"), TABLE
    )
    assert asset.state is State.WITHDRAWN
    assert len(asset.history) == 5


@pytest.mark.parametrize("act", ["sanitise", "verify", "release"])
def test_no_step_is_left_out(act: str) -> None:
    with pytest.raises(ConflictError, match="registered"):
        media.decide(registered(), Entry(act, 2, "operator"), TABLE)


@given(st.data())
def test_no_entry_of_a_history_can_be_changed_left_out_or_moved(data: st.DataObject) -> None:
    asset = verified(media.decide(withdrawn(), sanitise("destroy", "melt"), TABLE))
    media.verify_history(asset)
    position = data.draw(st.integers(0, len(asset.history) - 2))
    history = list(asset.history)
    how = data.draw(st.sampled_from(["drop", "swap", "by", "remark", "actor", "asset"]))
    changed = asset
    if how == "drop":
        del history[position]
    elif how == "swap":
        history[position], history[position + 1] = history[position + 1], history[position]
    elif how == "asset":
        changed = msgspec.structs.replace(asset, serials=("S2",))
    else:
        history[position] = msgspec.structs.replace(history[position], **{how: "somebody else"})
    with pytest.raises(IntegrityError):
        media.verify_history(msgspec.structs.replace(changed, history=tuple(history)))


def test_odd_media_are_refused() -> None:
    for odd in (
        {"medium": "clay"},
        {"encrypted": "perhaps"},
        {"tag": ""},
        {"site": "x" * 201},
        {"host": "a\nb"},
    ):
        with pytest.raises(InvalidInputError):
            registered(**{"medium": "hdd", **odd})  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError):
        registered(categories=("gossip",))
    with pytest.raises(InvalidInputError):
        media.decide(withdrawn(), sanitise("destroy", "melt", photo="no hash"), TABLE)
