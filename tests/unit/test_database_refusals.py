"""Lines of the database's log that tell of a refused login, and those that don't."""

import pytest

from postkeep.node.postgres.refusals import refusal_in


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('FATAL:  password authentication failed for user "kms"', "kms"),
        ('FATAL:  permission denied for database "vault"', "vault"),
        ('FATAL:  pg_hba.conf rejects connection for host "[local]", user "vault", database "kms"', "kms"),
        ('ERROR:  permission denied for table principals"', "unknown"),
        ('FATAL:  role "alice@example.com" does not exist', "unknown"),
        ('FATAL:  Peer authentication failed for user "postkeep"', "unknown"),
        ('FATAL:  no pg_hba.conf entry for host "[local]", user "x", database "y", no encryption', "unknown"),
    ],
)
def test_a_refusal_is_told_by_names_of_ours_only(line: str, name: str) -> None:
    assert refusal_in(line) == name


@pytest.mark.parametrize(
    "line",
    [
        "LOG:  database system is ready to accept connections",
        "FATAL:  terminating connection due to administrator command",
        'LOG:  FATAL:  password authentication failed for user "kms"',
        "",
    ],
)
def test_other_lines_are_none(line: str) -> None:
    assert refusal_in(line) is None
