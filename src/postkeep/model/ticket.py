"""What a ticket says. How it is signed, checked and narrowed lives in `postkeep.tickets`."""

from enum import StrEnum

import msgspec

from postkeep.model.categories import Category


class TicketKind(StrEnum):
    """Who or what a ticket speaks for."""

    USER = "user"
    MODULE = "module"
    OPERATION = "operation"
    STAFF = "staff"
    GRANT = "grant"


class Action(StrEnum):
    """What a ticket allows; a method's rule names exactly one."""

    MAIL_READ = "mail.read"
    MAIL_WRITE = "mail.write"
    MAIL_SEND = "mail.send"
    MAIL_EXPORT = "mail.export"
    """To read one person's mail with the grant of an approved request."""
    MAIL_DEPOSIT = "mail.deposit"
    QUEUE_WORK = "queue.work"
    STORE_MAINTAIN = "store.maintain"
    BACKUP = "backup"
    LEDGER_WITNESS = "ledger.witness"
    KEY_PROVISION = "key.provision"
    KEY_SHRED = "key.shred"
    KEY_RESEAL = "key.reseal"
    ADMIN_READ = "admin.read"
    ADMIN_WRITE = "admin.write"
    OPERATE = "operate"
    MAIL_SHARE = "mail.share"
    """To say with whom one's own mailboxes are shared, without reading any."""
    LEDGER_OWN = "ledger.own"
    """To see the ledger's entries about oneself."""
    REQUEST_DECIDE = "request.decide"


class Ticket(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The claims of a ticket. Identifiers are hexadecimal, times are seconds since the epoch.

    An unknown claim makes the whole ticket invalid: a reader never ignores a restriction it can't read.
    """

    id: str
    kind: TicketKind
    issued: int
    expires: int
    audience: tuple[str, ...]
    """The modules that may accept it."""
    holder: str
    """Thumbprint (SHA-256 of the raw Ed25519 public key, hexadecimal) of the one key that may show it."""
    module: str = ""
    """The module it was given to (`imap`, `mx` ...)."""
    instance: str = ""
    """That module's instance, as in `imap-1.3f9a`."""
    certificate: str = ""
    """Module tickets: SHA-256 of the TLS certificate with which the module speaks between hosts,
    hexadecimal; empty: it does not."""
    tenant: str = ""
    """Empty: the installation as a whole (module and operation tickets)."""
    principal: str = ""
    """Whose data. Staff tickets: the staff member who asks; empty: the machine's own operator."""
    session: str = ""
    level: int = 0
    """1: password; 2: second factor or secondary password."""
    actions: tuple[Action, ...] = ()
    categories: tuple[Category, ...] = ()
    methods: tuple[str, ...] = ()
    """Module tickets: the methods, as `vault.deposit`, that the module may call."""
    mailboxes: tuple[str, ...] | None = None
    """None: all of the principal's mailboxes."""
    budget: int | None = None
    """Operation tickets: how many objects may be touched with it."""
    purpose: str = ""
    """Operation tickets: what for, as `deliver`. Grants: the kind of the request, as `destroy`."""
    request: str = ""
    """Grants: the identifier of the approved request, hexadecimal."""
    subject: str = ""
    """Grants: SHA-256 of exactly what was approved, hexadecimal."""
    approvals: int = 0
    """Grants: how many people's approvals stood when it was made."""
    depth: int = 0
    """How many times it has been narrowed."""
    parent: str = ""
    """Narrowed tickets: SHA-256 of the parent token, hexadecimal."""
