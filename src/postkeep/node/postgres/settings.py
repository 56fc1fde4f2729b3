"""The server's configuration, written anew at every start: nothing in it is meant to be edited."""

from pathlib import Path
from typing import Final

KEEPERS: Final = ("authority", "kms", "vault", "steward")
"""The modules with rows: each has a database and a login of its own name."""
ADMINISTRATOR: Final = "postkeep"
"""The cluster's superuser: only the supervisor's user may become it, and only over the socket."""

_SETTINGS: Final = {
    # Who may reach it: no network at all.
    "listen_addresses": "''",
    "unix_socket_permissions": "0777",  # the directory and pg_hba.conf decide
    "max_connections": "40",
    "superuser_reserved_connections": "3",
    "password_encryption": "scram-sha-256",
    # What may be written down: never a statement, a parameter or the values of a row.
    "logging_collector": "off",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
    "log_line_prefix": "''",
    "track_activity_query_size": "100",
    # Durable, always; many small commits, and few full pages behind them.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "recovery_init_sync_method": "syncfs",  # one call instead of one per file, after a crash
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_compression": "on",
    "checkpoint_timeout": "15min",
    "max_wal_size": "1GB",
    "min_wal_size": "128MB",
    "wal_buffers": "4MB",
    # Small when idle: shared buffers cost memory only once they are touched.
    "shared_buffers": "96MB",
    "huge_pages": "off",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "autovacuum_max_workers": "2",
    "jit": "off",
    "random_page_cost": "1.1",
    # One text order and one time zone, whatever the machine's.
    "lc_messages": "'C'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
}


_ARCHIVING: Final = {
    "wal_level": "replica",
    "archive_mode": "on",
    "archive_timeout": "300",  # what a backup target may be behind, where little is written
}
"""Instead of the above, where backups are configured."""


def server_settings(socket_directory: Path, archive: Path | None = None) -> str:
    """Return `postgresql.conf`; `archive`: where the write-ahead log is left for the backup worker."""
    settings = dict(_SETTINGS)
    if archive is not None:
        settings |= _ARCHIVING
        settings["archive_command"] = _quoted(archive_command(archive))
    lines = [f"{name} = {value}" for name, value in settings.items()]
    lines.append(f"unix_socket_directories = {_quoted(str(socket_directory))}")
    return "\n".join(lines) + "\n"


def archive_command(archive: Path) -> str:
    """Return what the server runs for each segment: a copy that is whole and durable once it has its name."""
    place = str(archive).replace("%", "%%").replace("'", "'\\''")
    part, whole = f"'{place}/%f.part'", f"'{place}/%f'"
    return f"cp %p {part} && chmod 640 {part} && sync -d {part} && mv {part} {whole}"


def recovery_settings(log: Path, target: str, value: str) -> str:
    """Return what `postgresql.conf` has besides while a copy is brought to a moment (`name` or `time`).

    Nothing is made durable on the way: who keeps the copy syncs its file system once, at the end.
    """
    place = str(log).replace("%", "%%").replace("'", "'\\''")
    lines = {
        "fsync": "off",
        "restore_command": _quoted(f"cp '{place}/%f' %p"),
        f"recovery_target_{target}": _quoted(value),
        "recovery_target_action": _quoted("promote"),
    }
    return "".join(f"{name} = {text}\n" for name, text in lines.items())


def access_rules() -> str:
    """Return `pg_hba.conf`: the administrator by peer user, each keeper by password to its own database."""
    lines = [f"local all {ADMINISTRATOR} peer map=administrator"]
    lines += [f"local {keeper} {keeper} scram-sha-256" for keeper in KEEPERS]
    lines.append("local all all reject")
    return "\n".join(lines) + "\n"


def user_map(system_user: str) -> str:
    """Return `pg_ident.conf`: which system user is the administrator."""
    return f'administrator "{system_user}" {ADMINISTRATOR}\n'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
