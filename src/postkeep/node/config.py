"""The configuration: one TOML file in the data directory, every field with a default that works."""

from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from postkeep.model.categories import Category


class NodeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who this node is."""

    hostname: str = ""
    """The name in greetings and Received headers; empty: the machine's own."""
    workers: int = 0
    """How many `mx` and `imap` processes; 0: one per core."""
    uid_base: int = 0
    """First of the numeric user ids that modules run as when started as root; 0: 64600."""
    staff_group: str = ""
    """A group of the system whose members may sign in with `--as` from this machine; empty: none."""


class ListenConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the ports are opened."""

    address: str = "127.0.0.1"
    base_port: int = 2525
    metrics_port: int = 0
    """0: base_port + 20; always on the loopback interface."""


class TlsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate of your own; empty: one from the installation's own CA."""

    certificate: str = ""
    key: str = ""


class TokenConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A PKCS#11 token whose key seals the root key."""

    module: str = ""
    """The path of the PKCS#11 module, as `/usr/lib/softhsm/libsofthsm2.so`."""
    token: str = ""
    """The token's label."""
    key_label: str = "postkeep-root"
    pin_file: str = ""
    """A file of mode 0600 with the PIN; empty: it is asked for, or read from `--pin-fd`."""
    paths: tuple[str, ...] = ()
    """Files and directories that the module needs beside itself: kms may read and write them, if their
    owner and mode allow it."""
    connects: bool = False
    """The module reaches its token over TCP: kms may then open connections."""


class CeilingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many epochs kms opens within an hour, for one person and for one module instance. 0: no ceiling."""

    principal_alarm: int = 100_000
    """Above it the ledger is told. A large mailbox in full is 30,000."""
    principal_stop: int = 400_000
    """Above it nothing is opened for an hour, or until an operator lifts it."""
    module_alarm: int = 2_000_000
    module_stop: int = 8_000_000


class KeyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the root key is sealed."""

    root: str = ""
    """How a first root key is sealed: `file` (development; the default), `passphrase` or `pkcs11`. Afterwards
    the node knows it; a line that says otherwise keeps it from starting."""
    pkcs11: TokenConfig = TokenConfig()
    ceilings: CeilingConfig = CeilingConfig()
    principal_days: float = 365.0
    """How old a person's key pair may grow before the next generation takes its place; 0: by hand only."""
    retire_seconds: int = 2 * 86_400
    """How long a person's old private key stays after the new one is published: longer than writers go on
    with an epoch (a day) and with what they know of the directory (minutes)."""
    ticket_days: float = 30.0
    """How old the key that tickets are signed with may grow before the next one takes its place."""


class CustodyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What companies' own keys may be reached by; with neither, no custody process runs."""

    transit: tuple[str, ...] = ()
    """Key servers, as `https://vault.example.com:8200`."""
    modules: tuple[str, ...] = ()
    """Paths of PKCS#11 modules."""
    paths: tuple[str, ...] = ()
    """Files and directories that the modules need beside themselves."""
    connects: bool = False
    """A module reaches its token over TCP."""
    lease_seconds: float = 300.0
    """How long a company's keys are used before its own key is asked again."""


class MxConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Inbound SMTP."""

    message_bytes_max: int = 50 * 1024 * 1024
    recipients_max: int = 1000
    connections_max: int = 10_000
    command_timeout_seconds: float = 300.0
    greeting_delay_seconds: float = 0.0
    """Above 0: the greeting waits so long, and who speaks before it is sent away."""


class ImapConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """IMAP: how many connections each of its processes takes."""

    connections_max: int = 12_000
    """In all."""
    strangers_max: int = 512
    """Not signed in yet; further ones wait in the kernel's queue until there is room."""
    strangers_per_network_max: int = 256
    """Not signed in yet, from one IPv4 address or IPv6 /64."""
    connections_per_person_max: int = 100
    """Signed in as one person."""


class RelayConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Outbound SMTP."""

    smarthost: str = ""
    """`host:port` that takes all outbound mail; empty: MX records."""
    resolver: str = ""
    """`address:port` of the DNS resolver; empty: the system's."""
    port: int = 25
    retry_seconds: tuple[int, ...] = (60, 300, 900, 3600, 7200, 14400)
    """Waits between attempts; the last one repeats."""
    expire_seconds: int = 5 * 86400
    delay_notice_seconds: int = 4 * 3600
    lease_seconds: int = 30
    """How long a claim on an item holds unless it is renewed: mail that a relay held when it died is tried
    again after it."""
    destination_connections_max: int = 5
    connections_max: int = 50
    allow_private_addresses: bool = False
    """Deliver to loopback and private addresses (tests, smarthosts inside)."""


class CategoryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one data category lives."""

    dsn: str = ""
    """A PostgreSQL DSN; empty: the node's own cluster."""
    directory: str = ""
    """A directory for its files (on a disk of its own, if you like); empty: under the data directory."""


class WitnessConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A witness that signs the ledger's heads, as `postkeep witness key` on its machine tells it."""

    url: str
    """The prefix of its `add-checkpoint`: `http://` or `https://`."""
    keys: tuple[str, ...]
    """Its verifier keys, all of one name; each must have signed."""

    @property
    def port(self) -> int:
        """Its TCP port; 0 where the URL is none, which the steward says when it starts."""
        try:
            parts = urlsplit(self.url)
            return parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        except ValueError:
            return 0


class LedgerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ledger."""

    heartbeat_seconds: float = 60.0
    """How often each module tells the ledger that it lives; 0: never."""
    anchor_seconds: float = 30.0
    """How long a tenant's log that has grown may wait until its head is anchored and signed."""
    witnesses: tuple[WitnessConfig, ...] = ()
    """Who signs its heads besides us: other people, on other machines."""


class BackupConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Backups of the node."""

    target: str = ""
    """A directory (on another disk, if it is to survive this one), or `s3://bucket/prefix`; empty: none."""
    endpoint: str = ""
    """The S3 server's URL; empty: Amazon's."""
    region: str = ""
    credentials: str = ""
    """A file, readable by its owner alone, with `access_key_id` and `secret_access_key` (TOML)."""
    every_seconds: int = 0
    """Between backups; 0: only on command."""
    keep: int = 14
    """How many backups stay."""
    key_use_seconds: int = 7 * 86400
    """How long a weekly key seals key backups; at most a week."""
    key_life_seconds: int = 30 * 86400
    """How long after its making a weekly key is destroyed; at most 30 days."""
    tombstone_seconds: int = 60
    """How often what has been destroyed is told to the target."""

    @property
    def remote(self) -> bool:
        """Whether the target is a bucket."""
        return self.target.startswith("s3://")


class LogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the logs look like."""

    format: str = "auto"
    """`json`, `pretty`, or `auto`: pretty on a terminal."""
    level: str = "info"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `postkeep.toml`."""

    node: NodeConfig = NodeConfig()
    listen: ListenConfig = ListenConfig()
    tls: TlsConfig = TlsConfig()
    keys: KeyConfig = KeyConfig()
    custody: CustodyConfig = CustodyConfig()
    mx: MxConfig = MxConfig()
    imap: ImapConfig = ImapConfig()
    relay: RelayConfig = RelayConfig()
    backup: BackupConfig = BackupConfig()
    log: LogConfig = LogConfig()
    ledger: LedgerConfig = LedgerConfig()
    categories: dict[str, CategoryConfig] = {}

    def place_of(self, category: str, own: Path) -> Path:
        """Return where a keeper's files of a category lie: in a place of their own, or in the keeper's."""
        configured = self.categories.get(category)
        return Path(configured.directory) if configured and configured.directory else own


def ledger_of(data: Path, config: Config) -> Path:
    """Return where the ledger of a data directory lies; of a copy that has one in it, there."""
    inside = data / "state" / "ledger"
    return inside if (inside / "log").is_dir() else config.place_of(Category.AUDIT, inside)


def load(path: Path) -> Config:
    """Read the configuration; a missing file gives the defaults, an unknown field is an error."""
    if not path.exists():
        return Config()
    return msgspec.toml.decode(path.read_bytes(), type=Config)
