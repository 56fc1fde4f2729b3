"""Trouble that passes is not told of; trouble that lasts is, once a minute."""

from postkeep.base.trouble import AGAIN_SECONDS, QUIET_SECONDS, Trouble


def test_it_is_told_of_when_it_has_lasted_and_again_each_minute() -> None:
    trouble = Trouble(1000.0)
    told = [second for second in range(200) if trouble.is_due(1000.0 + second)]
    assert told == [QUIET_SECONDS, QUIET_SECONDS + AGAIN_SECONDS, QUIET_SECONDS + 2 * AGAIN_SECONDS, 190]
    assert trouble.seconds(1190.4) == 190


def test_what_waiting_does_not_mend_is_told_of_at_once() -> None:
    trouble = Trouble(5.0, 0.0)
    assert trouble.is_due(5.0)
    assert not trouble.is_due(6.0)
