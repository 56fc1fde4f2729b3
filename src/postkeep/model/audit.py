"""The events of the ledger: what is recorded of every act that touches security."""

from enum import StrEnum

import msgspec


class EventName(StrEnum):
    """What happened. The ledger accepts no other names."""

    SIGN_IN = "sign_in"
    SIGN_OUT = "sign_out"
    TICKET_ISSUE = "ticket.issue"
    TICKET_REFUSE = "ticket.refuse"
    TICKET_REVOKE = "ticket.revoke"
    ACCESS_REFUSE = "access.refuse"
    KEY_RELEASE = "key.release"
    KEY_REFUSE = "key.refuse"
    KEY_CREATE = "key.create"
    KEY_ROTATE = "key.rotate"
    KEY_SHRED = "key.shred"
    KEY_CEILING = "key.ceiling"
    KEY_SHARE = "key.share"
    """Epochs of the principal open for somebody else too, or no more: `note` is the step and the reader."""
    KEY_ACCEPT = "key.accept_restored"
    """A restored key store (`digest`) is held (code `held`), or gives keys again, by request or policy."""
    KEY_SEAL = "key.seal"
    """How the root key is sealed was changed; `note`: `open`, `begin`, `done`, and the ways."""
    KEY_CUSTODY = "key.custody"
    """A tenant's key was put under a key that the customer holds, taken back, or refused by it."""
    DEPOSIT = "mail.deposit"
    READ = "mail.read"
    WRITE = "mail.write"
    SHRED = "mail.shred"
    SHARE = "mail.share"
    """Rights on the principal's mailboxes were given or taken: `note` is the reader and the letters."""
    QUEUE = "queue"
    HOLD = "hold"
    """A legal hold was placed or released (`digest` is its identifier); it does not say on whom."""
    ORDER = "order"
    """A destruction order took a step; `note` is the order and the step, `digest` what it is about."""
    ADMIN = "admin"
    """An operator's command, once for each, before it is done: the steward's word."""
    DIRECTORY = "directory"
    """A change of the directory as the authority made it, for whom `session` and `ticket` say."""
    EXPORT = "export"
    """A person's mail is read out on an approved request: `note` is the request, and `begin` or `end`."""
    BACKUP_CREATE = "backup.create"
    BACKUP_DESTROY = "backup.destroy"
    """A backup, or (`week ...`) the weekly key of key backups: before it is done."""
    BACKUP_RESTORE = "backup.restore"
    NODE = "node"
    AUTHORITY_KEY = "authority.key"
    LEDGER_ANCHOR = "ledger.anchor"
    """The ledger's own: a tenant's log had this size (`count`) and this root (`digest`)."""
    LEDGER_ACCEPT = "ledger.accept_restored"
    """A signed head was given up, as the ledger contradicts it: its size (`count`) and root (`digest`), and
    in `note` the size and root that the ledger goes on from."""
    WITNESS = "ledger.witness"
    """What a witness of the ledger has said that is news: `note` is its name, `count` what it has signed."""
    HEARTBEAT = "heartbeat"
    """A module instance lives; with the code `farewell` it stops in order."""
    STAFF = "staff"
    MEDIA = "media"
    """An act in the life of a medium that holds data; `digest` is that of its record's newest entry."""
    DUAL_CONTROL = "dual_control"
    REQUEST_OPEN = "request.open"
    REQUEST_DECIDE = "request.decide"
    REQUEST_GRANT = "request.grant"
    """Counted and durable before the grant exists."""
    REQUEST_CLOSE = "request.close"


class AuditEvent(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One entry. Identifiers are hexadecimal; nothing in it names a person, an address or a subject."""

    event: EventName
    time_ms: int
    source: str
    """The module instance that reports it; filled in by the ledger from the channel, never by the caller."""
    number: int
    """Counts up by one per source, from 1: a gap is a lost event."""
    outcome: str = "ok"
    """`ok` or `refused`."""
    code: str = ""
    """The error code of a refusal."""
    tenant: str = ""
    principal: str = ""
    """On whose data it was done."""
    actor: str = ""
    """Who asked, where that is not the principal."""
    module: str = ""
    """The kind of module that called, as `imap`; empty where nobody did."""
    instance: str = ""
    """Which of its instances, as `imap-0.3f9a`. Who reports the event is `source`."""
    session: str = ""
    ticket: str = ""
    method: str = ""
    mailbox: str = ""
    category: str = ""
    count: int = 0
    rule: str = ""
    """The line of the table of rules that the call was judged by, or what an issued ticket allows."""
    policy: str = ""
    """With an issued or refused ticket: the policies that decided, comma-separated."""
    digest: str = ""
    """SHA-256 over the concatenated identifiers of the objects touched, in order."""
    state: int = 0
    """With `key.create` and `key.shred`: how many changes the key store has seen, this one included."""
    note: str = ""
    """A word for what has no field, as the name of an administrative change."""
    sealed: str = ""
    """Values that name a person or a place (client address, program), under a key of that person's own:
    base64url of `version || nonce || AES-256-GCM`. Destroying the key ends them; the entry stays."""


class PersonalValues(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `sealed` holds, as JSON: where a person came from and with which program, or why others
    read the person's mail."""

    address: str = ""
    """The client's IP address."""
    program: str = ""
    """What the program calls itself (IMAP ID, EHLO); anybody may say anything there."""
    reason: str = ""
    """With the grant of an export: what was approved, and the reason given, as the approvers saw it."""
