"""What the doctor says of backups, by what it has seen: missing, old, unproved, keys that live too long."""

from pathlib import Path

import pytest

from postkeep.node.backups.verified import NAME, Verified, last_verified, note_verified
from postkeep.node.config import BackupConfig
from postkeep.node.doctor.backups import Seen, judge
from postkeep.node.doctor.finding import Verdict
from postkeep.services.backup.catalogue import Listed

NOW = 2_000_000_000.0
HOUR, DAY = 3600, 86_400


def ms(seconds_ago: float) -> int:
    return int((NOW - seconds_ago) * 1000)


def backup(seconds_ago: float, week: str = "w") -> Listed:
    return Listed(f"of {seconds_ago}", ms(seconds_ago), 1000, week)


def seen(*backups: Listed, proved: float | None = DAY, **more: object) -> Seen:
    verified = None if proved is None else Verified("of then", ms(proved))
    given = {"weeks": {"w": (ms(DAY), ms(-29 * DAY))}, "verified": verified, **more}
    return Seen(list(backups), **given)  # type: ignore[arg-type] # as each test gives it


def said(found: Seen, every: int = 6 * HOUR) -> dict[str, Verdict]:
    settings = BackupConfig(target="/mnt/x", every_seconds=every)
    findings = list(judge(found, settings, Path("/spool"), NOW))
    for finding in findings:
        assert all(finding.says(language) for language in (0, 1))
        assert finding.verdict is Verdict.OK or all(finding.advises(language) for language in (0, 1))
    return {finding.key.removeprefix("backups."): finding.verdict for finding in findings}


OK, WARN, BAD = Verdict.OK, Verdict.WARN, Verdict.BAD


@pytest.mark.parametrize(
    ("found", "every", "expected"),
    [
        (seen(backup(HOUR)), 6 * HOUR, {"ok": OK, "verified": OK}),
        (seen(), 6 * HOUR, {"no_first": WARN}),
        # With a schedule twice its time is late; without one, two days.
        (seen(backup(12 * HOUR - 1)), 6 * HOUR, {"ok": OK, "verified": OK}),
        (seen(backup(12 * HOUR + 1)), 6 * HOUR, {"old": WARN, "verified": OK}),
        (seen(backup(2 * DAY - 1)), 0, {"unscheduled": WARN, "verified": OK}),
        (seen(backup(2 * DAY + 1)), 0, {"old": WARN, "verified": OK}),
        (seen(backup(9 * DAY), backup(HOUR), backup(5 * DAY)), 6 * HOUR, {"ok": OK, "verified": OK}),
        (seen(backup(HOUR), proved=None), 6 * HOUR, {"ok": OK, "unverified": WARN}),
        (seen(backup(HOUR), proved=30 * DAY - 1), 6 * HOUR, {"ok": OK, "verified": OK}),
        (seen(backup(HOUR), proved=30 * DAY + 1), 6 * HOUR, {"ok": OK, "verified_long_ago": WARN}),
        (seen(backup(31 * DAY), weeks={}), 0, {"no_keys": BAD}),
        (seen(backup(31 * DAY), weeks={"w": (ms(31 * DAY), ms(1))}), 0, {"no_keys": BAD}),
        (seen(backup(HOUR), keeps_versions=True), 6 * HOUR, {"versions": BAD, "ok": OK, "verified": OK}),
        (seen(backup(HOUR), waiting=65), 6 * HOUR, {"behind": BAD, "ok": OK, "verified": OK}),
        (seen(backup(HOUR), waiting=64), 6 * HOUR, {"ok": OK, "verified": OK}),
    ],
)
def test_each_state_of_the_backups_has_its_verdict(
    found: Seen, every: int, expected: dict[str, Verdict]
) -> None:
    assert said(found, every) == expected


def test_weekly_keys_that_outlive_their_end_are_told() -> None:
    """D3: thirty days are a promise, so what keeps a key longer is an error."""
    live = {"w": (ms(DAY), ms(-29 * DAY))}
    late = {"old": (ms(31 * DAY), ms(HOUR + 1))}
    ending = {"old": (ms(30 * DAY), ms(HOUR - 1))}
    assert said(seen(backup(HOUR), weeks=live | late))["overdue"] is BAD
    assert "overdue" not in said(seen(backup(HOUR), weeks=live | ending))
    # An object of a destroyed week whose remains are still to be deleted opens nothing.
    assert "overdue" not in said(seen(backup(HOUR), weeks=live | {"gone": (0, 0)}))


def test_a_verification_is_remembered_and_nothing_else_taken_for_one(tmp_path: Path) -> None:
    assert last_verified(tmp_path) is None
    for number in (1, 2):
        note_verified(tmp_path, Verified("ab", number))
    assert last_verified(tmp_path) == Verified("ab", 2)
    for junk in (b"", b"{}", b'{"backup": 1, "time_ms": 2}', b"[" * 5000):
        (tmp_path / NAME).write_bytes(junk)
        assert last_verified(tmp_path) is None
