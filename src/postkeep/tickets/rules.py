"""The one table of who may do what: every method that crosses a process border, with all that it takes.

Read a line as: this *method* may be called by these *modules*, showing this *kind* of ticket (none: the
module ticket suffices) that allows this *action* on these *categories*. A method without a line can't be
called, and a keeper with a handler that has no line, or a line without a handler, does not start.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from postkeep.base.errors import RefusedError
from postkeep.model.categories import Category
from postkeep.model.ticket import Action, TicketKind
from postkeep.model.warrant import Unit

USER: Final = TicketKind.USER
OPERATION: Final = TicketKind.OPERATION
STAFF: Final = TicketKind.STAFF
GRANT: Final = TicketKind.GRANT

CONTENT: Final = (Category.CONTENT,)
METADATA: Final = (Category.METADATA,)
MAIL: Final = (Category.CONTENT, Category.METADATA)
ACCOUNT: Final = (Category.ACCOUNT,)
AUDIT: Final = (Category.AUDIT,)
OPERATIONS: Final = (Category.OPERATIONS,)
SECRET: Final = (Category.SECRET,)
NONE: Final[tuple[Category, ...]] = ()

NEWCOMER: Final = ""
"""The caller that has no module ticket yet."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table."""

    method: str
    callers: tuple[str, ...]
    kind: TicketKind | None = None
    action: Action | None = None
    categories: tuple[Category, ...] = NONE
    any_category: bool = False
    """One of the categories suffices, and the grant carries those that the ticket has."""
    fresh: bool = False
    """It releases bodies or keys: refused while the view of revocations is stale."""
    any_mailbox: bool = False
    """A ticket limited to some mailboxes may call it although the request names none."""
    counts: str = ""
    """The request's list whose length is taken from an operation ticket's budget; empty: one a call."""
    units: tuple[Unit, ...] = ()
    """It destroys these: the request carries a `warrant`, which is held against what people approved."""
    shared: bool = False
    """A user's ticket may name another principal: the keeper holds that against what was shared with it."""
    waits: bool = False
    """A long poll: it is given up at once when its caller goes or the keeper stops, as nothing is lost."""
    wanted: frozenset[Category] = field(init=False)
    """The categories once more, as the set that a ticket's are held against at every call."""
    line: str = field(init=False)
    """What it asks for, in short, as events name it: `user mail.read content,metadata`."""

    def __post_init__(self) -> None:
        """Make the set and write the line once: they serve every call."""
        asked = (self.kind or "module", self.action or "", ",".join(self.categories))
        object.__setattr__(self, "wanted", frozenset(self.categories))
        object.__setattr__(self, "line", " ".join(word for word in asked if word))


@dataclass(frozen=True, slots=True)
class Delegation:
    """One line of who may act for users: the modules that a user's ticket goes through, and where it may be
    shown at the end."""

    actors: tuple[str, ...]
    """From the face that the user signed in at to the module that calls."""
    keepers: tuple[str, ...]


MX, SUBMISSION, IMAP = "mx", "submission", "imap"
RELAY, STEWARD, BACKUP, CLI = "relay", "steward", "backup", "cli"
CUSTODY: Final = "custody"
OWNER: Final = "owner"
"""A person at the command line, to look at their own ledger."""
EXPORT: Final = "export"
"""The command that exports a person's mail, while it runs: it has no right but an approved grant."""
AUTHORITY, KMS, VAULT, LEDGER = "authority", "kms", "vault", "ledger"
KEEPERS: Final = (LEDGER, AUTHORITY, KMS, VAULT)
MODULES: Final = (*KEEPERS, MX, SUBMISSION, IMAP, RELAY, STEWARD, BACKUP, CUSTODY)
FACES: Final = (MX, SUBMISSION, IMAP)
EVERYBODY: Final = (*MODULES, CLI, OWNER, EXPORT)

_READ, _WRITE, _SEND = Action.MAIL_READ, Action.MAIL_WRITE, Action.MAIL_SEND
_DEPOSIT, _QUEUE, _MAINTAIN = Action.MAIL_DEPOSIT, Action.QUEUE_WORK, Action.STORE_MAINTAIN
_LOOK, _ADMIN, _OPERATE = Action.ADMIN_READ, Action.ADMIN_WRITE, Action.OPERATE
_DECIDE = Action.REQUEST_DECIDE
_SHARE = Action.MAIL_SHARE
_MESSAGES: Final = (Unit.MESSAGE, Unit.MAILBOX)
_PERSON: Final = (Unit.PERSON,)
_TENANT: Final = (Unit.TENANT,)
_CATEGORY: Final = (Unit.CATEGORY,)

# fmt: off
RULES: Final[tuple[Rule, ...]] = (
    # --- authority: identity of modules ---
    Rule("authority.enrol",               (NEWCOMER,)),
    Rule("authority.operator_sign_in",    (NEWCOMER,)),
    Rule("authority.staff_sign_in",       (NEWCOMER,)),
    Rule("authority.renew_module",        MODULES),
    Rule("authority.issue_operation",     (MX, SUBMISSION, RELAY, STEWARD, BACKUP)),
    Rule("authority.feed",                MODULES, waits=True),
    Rule("authority.rotate_ticket_key",   (STEWARD,), STAFF, _OPERATE, OPERATIONS),
    # --- authority: people. The session's row names the one key that may renew or end it ---
    Rule("authority.sign_in",             (IMAP, SUBMISSION)),
    Rule("authority.owner_sign_in",       (NEWCOMER,)),
    Rule("authority.token_sign_in",       (IMAP, SUBMISSION)),
    Rule("authority.scram_start",         (IMAP, SUBMISSION)),
    Rule("authority.scram_finish",        (IMAP, SUBMISSION)),
    Rule("authority.renew_user",          (IMAP, SUBMISSION)),
    Rule("authority.sign_out",            (IMAP, SUBMISSION, OWNER)),
    Rule("authority.keep_sessions",       (IMAP,)),
    Rule("authority.end_sessions",        (IMAP,)),
    Rule("authority.colleagues",          (IMAP, OWNER)),
    # --- authority: where mail goes ---
    Rule("authority.resolve",             (MX, SUBMISSION, RELAY)),
    Rule("authority.queue_key",           (MX, SUBMISSION, RELAY)),
    # --- authority: administration ---
    Rule("authority.revoke",              (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.create_tenant",       (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.list_tenants",        (STEWARD,), STAFF, _LOOK, ACCOUNT),
    Rule("authority.find_tenant",         (STEWARD,), STAFF, _LOOK, ACCOUNT),
    Rule("authority.add_domain",          (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.remove_domain",       (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.create_user",         (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.create_group",        (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.open_mailbox",        (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.set_members",         (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.find",                (STEWARD,), STAFF, _LOOK, ACCOUNT),
    Rule("authority.list_principals",     (STEWARD,), STAFF, _LOOK, ACCOUNT),
    Rule("authority.set_password",        (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.set_status",          (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.set_quota",           (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.delete_group",        (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.delete_principal",    (STEWARD,), GRANT, _ADMIN, ACCOUNT, units=_PERSON),
    Rule("authority.delete_tenant",       (STEWARD,), GRANT, _ADMIN, ACCOUNT, units=_TENANT),
    Rule("authority.create_alias",        (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.delete_alias",        (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.grant_address",       (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.create_app_password", (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.list_app_passwords",  (STEWARD,), STAFF, _LOOK, ACCOUNT),
    Rule("authority.delete_app_password", (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.create_token",        (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.list_tokens",         (STEWARD,), STAFF, _LOOK, ACCOUNT),
    Rule("authority.delete_token",        (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    # --- authority: staff and approvals. A vote comes from the approver's own command line, never through the
    # steward, who holds the grant in the end ---
    Rule("authority.staff_list",          (CLI,), STAFF, _LOOK, ACCOUNT),
    Rule("authority.staff_show",          (CLI,), STAFF, _LOOK, ACCOUNT),
    Rule("authority.staff_create",        (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.staff_status",        (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.staff_roles",         (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.staff_password",      (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.staff_own_password",  (CLI,), STAFF, _LOOK, ACCOUNT),
    Rule("authority.staff_delete",        (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.dual_control",        (CLI, STEWARD), STAFF, _LOOK, ACCOUNT),
    Rule("authority.dual_control",        (KMS,)),   # whether a restored key store may be used at once
    Rule("authority.set_dual_control",    (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.open_request",        (STEWARD,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.list_requests",       (CLI,), STAFF, _LOOK, ACCOUNT),
    Rule("authority.show_request",        (CLI,), STAFF, _LOOK, ACCOUNT),
    Rule("authority.decide_request",      (CLI,), STAFF, _DECIDE, ACCOUNT),
    Rule("authority.withdraw_request",    (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.issue_grant",         (STEWARD,)),   # the approvals are counted, not the caller
    Rule("authority.settled",             (STEWARD,)),
    Rule("authority.close_request",       (STEWARD,)),
    Rule("authority.close_request",       (CLI,), STAFF, _ADMIN, ACCOUNT),   # an export of one's own
    Rule("authority.issue_export",        (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("authority.publish_key",         (STEWARD,), STAFF, _OPERATE, OPERATIONS),
    Rule("authority.publish_key",         (STEWARD,), OPERATION, Action.KEY_RESEAL),
    # --- kms ---
    Rule("kms.anchors",                   MODULES),
    Rule("kms.category_key",              (AUTHORITY,)),
    Rule("kms.ticket_keys",               (AUTHORITY,)),
    Rule("kms.rotate_ticket_key",         (AUTHORITY,)),
    Rule("kms.person_key",                (AUTHORITY,)),
    Rule("kms.person_key",                (OWNER,), USER, Action.LEDGER_OWN, AUDIT, fresh=True),
    Rule("kms.release_secret",            FACES),
    Rule("kms.provision_tenant",          (AUTHORITY,)),   # the installation itself, at the first start
    Rule("kms.provision_principal",       (AUTHORITY,)),   # the installation's queue, at the first start
    Rule("kms.provision_tenant",          (STEWARD,), STAFF, Action.KEY_PROVISION),
    Rule("kms.provision_principal",       (STEWARD,), STAFF, Action.KEY_PROVISION),
    Rule("kms.open_epochs",               (IMAP,), USER, _READ, MAIL, any_category=True, fresh=True,
                                          any_mailbox=True, shared=True),
    Rule("kms.share",                     (IMAP,), USER, _WRITE, MAIL, fresh=True, shared=True),
    Rule("kms.unshare",                   (IMAP,), USER, _WRITE, MAIL, shared=True),
    Rule("kms.share",                     (OWNER,), USER, _SHARE, fresh=True, shared=True),
    Rule("kms.unshare",                   (OWNER,), USER, _SHARE, shared=True),
    Rule("kms.open_epochs",               (RELAY,), OPERATION, _QUEUE, MAIL, counts="epochs"),
    Rule("kms.open_epochs",               (EXPORT,), GRANT, Action.MAIL_EXPORT, MAIL, fresh=True),
    Rule("kms.sign",                      (RELAY,), OPERATION, _QUEUE),
    Rule("kms.rotate",                    (STEWARD,), STAFF, _OPERATE, OPERATIONS),
    Rule("kms.rotations",                 (STEWARD,), STAFF, _LOOK, OPERATIONS),
    Rule("kms.ceilings",                  (STEWARD,), STAFF, _LOOK, OPERATIONS),
    Rule("kms.lift_ceiling",              (STEWARD,), STAFF, _OPERATE, OPERATIONS),
    Rule("kms.rotate_principal",          (STEWARD,), STAFF, _OPERATE, OPERATIONS),
    Rule("kms.rotate_principal",          (STEWARD,), OPERATION, Action.KEY_RESEAL),
    Rule("kms.reseal_work",               (STEWARD,), OPERATION, Action.KEY_RESEAL),
    Rule("kms.rewrap_epochs",             (STEWARD,), OPERATION, Action.KEY_RESEAL, counts="epochs"),
    Rule("kms.retire_generation",         (STEWARD,), OPERATION, Action.KEY_RESEAL),
    Rule("kms.shred",                     (STEWARD,), GRANT, Action.KEY_SHRED, units=_PERSON + _TENANT),
    Rule("kms.mark",                      (STEWARD,), GRANT, Action.KEY_SHRED, units=_PERSON + _TENANT),
    Rule("kms.discard",                   (STEWARD,), STAFF, Action.KEY_PROVISION),
    Rule("kms.hold",                      (STEWARD,), STAFF, _ADMIN, OPERATIONS),
    Rule("kms.release_hold",              (STEWARD,), STAFF, _ADMIN, OPERATIONS),
    Rule("kms.certify",                   (STEWARD,), OPERATION, _MAINTAIN, OPERATIONS),
    Rule("kms.open_reseal",               (STEWARD,), GRANT, _OPERATE, OPERATIONS),
    Rule("kms.reseal",                    (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("kms.open_custody",              (STEWARD,), GRANT, _OPERATE, OPERATIONS),
    Rule("kms.set_custody",               (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("kms.check_custody",             (STEWARD,), STAFF, _LOOK, OPERATIONS),
    Rule("kms.withheld",                  (STEWARD,), STAFF, _LOOK, OPERATIONS),
    Rule("kms.accept_restored",           (STEWARD,), GRANT, _OPERATE, OPERATIONS),
    Rule("kms.accept_ledger",             (STEWARD,), GRANT, _OPERATE, OPERATIONS),
    # --- custody: the way to customers' keys; what passes through it opens nothing by itself ---
    Rule("custody.wrap",                  (KMS,)),
    Rule("custody.unwrap",                (KMS,)),
    # --- ledger ---
    Rule("ledger.append",                 (AUTHORITY, KMS, VAULT, *FACES, RELAY, STEWARD, BACKUP, CUSTODY)),
    Rule("ledger.head",                   (KMS,)),
    Rule("ledger.consistency",            (KMS,)),
    Rule("ledger.publish_checkpoint",     (KMS,)),
    Rule("ledger.own",                    (OWNER,), USER, Action.LEDGER_OWN, AUDIT),
    Rule("ledger.last_key_state",         (KMS,)),
    Rule("ledger.tenant_heads",           (KMS,)),
    Rule("ledger.publish_tenant_checkpoints", (KMS,)),
    Rule("ledger.head",                   (STEWARD,), STAFF, _LOOK, AUDIT),
    Rule("ledger.consistency",            (STEWARD,), STAFF, _LOOK, AUDIT),
    Rule("ledger.inclusion",              (STEWARD,), STAFF, _LOOK, AUDIT),
    Rule("ledger.checkpoint",             (STEWARD,), STAFF, _LOOK, AUDIT),
    Rule("ledger.add_cosignatures",       (STEWARD,), STAFF, _OPERATE, AUDIT),
    Rule("ledger.entries",                (STEWARD,), STAFF, _LOOK, AUDIT),
    # the newest head goes to witnesses elsewhere, and their signatures come back
    Rule("ledger.checkpoint",             (STEWARD,), OPERATION, Action.LEDGER_WITNESS, AUDIT),
    Rule("ledger.inclusion",              (STEWARD,), OPERATION, Action.LEDGER_WITNESS, AUDIT),
    Rule("ledger.entries",                (STEWARD,), OPERATION, Action.LEDGER_WITNESS, AUDIT),
    Rule("ledger.consistency",            (STEWARD,), OPERATION, Action.LEDGER_WITNESS, AUDIT),
    Rule("ledger.add_cosignatures",       (STEWARD,), OPERATION, Action.LEDGER_WITNESS, AUDIT),
    # --- vault: writing. Who may deposit may not read ---
    Rule("vault.deposit",                 (MX, SUBMISSION, RELAY), OPERATION, _DEPOSIT, MAIL,
                                          counts="deposits"),
    Rule("vault.submit",                  (SUBMISSION,), USER, _SEND, MAIL),
    Rule("vault.append",                  (IMAP,), USER, _WRITE, MAIL, shared=True),
    # --- vault: mailboxes and messages ---
    Rule("vault.mailboxes",               (IMAP,), USER, _READ, METADATA, any_mailbox=True),
    Rule("vault.change_mailboxes",        (IMAP,), USER, _WRITE, METADATA, shared=True),
    Rule("vault.entries",                 (IMAP,), USER, _READ, METADATA, any_mailbox=True, shared=True),
    Rule("vault.set_entries",             (IMAP,), USER, _WRITE, METADATA, shared=True),
    Rule("vault.select",                  (IMAP,), USER, _READ, METADATA, shared=True),
    Rule("vault.rows",                    (IMAP,), USER, _READ, METADATA, shared=True),
    Rule("vault.updates",                 (IMAP,), USER, _READ, METADATA, shared=True),
    Rule("vault.pages",                   (IMAP,), USER, _READ, METADATA, fresh=True, shared=True),
    Rule("vault.put_pages",               (IMAP,), USER, _READ, METADATA, fresh=True),
    Rule("vault.summaries",               (IMAP,), USER, _READ, METADATA, fresh=True, shared=True),
    Rule("vault.content",                 (IMAP,), USER, _READ, CONTENT, fresh=True, shared=True),
    Rule("vault.texts",                   (IMAP,), USER, _READ, CONTENT, fresh=True, shared=True),
    Rule("vault.segments",                (IMAP,), USER, _READ, CONTENT, fresh=True, shared=True),
    Rule("vault.segment_parts",           (IMAP,), USER, _READ, CONTENT, fresh=True, shared=True),
    Rule("vault.put_segment",             (IMAP,), USER, _READ, CONTENT),
    Rule("vault.store_flags",             (IMAP,), USER, _WRITE, METADATA, shared=True),
    Rule("vault.expunge",                 (IMAP,), USER, _WRITE, METADATA, shared=True),
    Rule("vault.copy",                    (IMAP,), USER, _WRITE, METADATA, shared=True),
    Rule("vault.epochs",                  (IMAP,), USER, _READ, METADATA, any_mailbox=True, shared=True),
    Rule("vault.replace_epochs",          (IMAP,), USER, _READ, METADATA, any_mailbox=True),
    Rule("vault.old_epochs",              (STEWARD,), OPERATION, Action.KEY_RESEAL),
    Rule("vault.reseal_epochs",           (STEWARD,), OPERATION, Action.KEY_RESEAL, counts="epochs"),
    Rule("vault.quota",                   (IMAP,), USER, _READ, METADATA, any_mailbox=True, shared=True),
    Rule("vault.quota",                   (STEWARD,), STAFF, _LOOK, OPERATIONS),
    Rule("vault.copy_across",             (IMAP,), USER, _WRITE, MAIL, shared=True),
    Rule("vault.rights",                  (IMAP,), USER, _READ, METADATA, shared=True),
    Rule("vault.set_rights",              (IMAP,), USER, _WRITE, METADATA, shared=True),
    Rule("vault.rights",                  (OWNER,), USER, _SHARE, shared=True),
    Rule("vault.set_rights",              (OWNER,), USER, _SHARE, shared=True),
    Rule("vault.mailboxes",               (OWNER,), USER, _SHARE, any_mailbox=True),
    Rule("vault.shared",                  (OWNER,), USER, _SHARE, any_mailbox=True),
    Rule("vault.shared",                  (IMAP,), USER, _READ, METADATA, any_mailbox=True),
    Rule("vault.open_shared",             (STEWARD,), STAFF, _ADMIN, OPERATIONS),
    Rule("vault.watch",                   (IMAP,), USER, _READ, METADATA, any_mailbox=True),
    Rule("vault.unwatch",                 (IMAP,)),
    Rule("vault.next_changes",            (IMAP,), waits=True),
    # --- vault: reading out on an approved request, for one person and nothing but what was approved ---
    Rule("vault.export_begin",            (EXPORT,), GRANT, Action.MAIL_EXPORT, MAIL, fresh=True),
    Rule("vault.export_page",             (EXPORT,), GRANT, Action.MAIL_EXPORT, MAIL, fresh=True),
    Rule("vault.export_end",              (EXPORT,), GRANT, Action.MAIL_EXPORT, MAIL),
    # --- vault: the queue ---
    Rule("vault.queue_lease",             (RELAY,), OPERATION, _QUEUE, MAIL),
    Rule("vault.queue_renew",             (RELAY,), OPERATION, _QUEUE, METADATA),
    Rule("vault.queue_content",           (RELAY,), OPERATION, _QUEUE, CONTENT),
    Rule("vault.queue_update",            (RELAY,), OPERATION, _QUEUE, METADATA, counts="outcomes"),
    Rule("vault.queue_wait",              (RELAY,), OPERATION, _QUEUE, METADATA, waits=True),
    Rule("vault.queue_list",              (STEWARD,), STAFF, _LOOK, OPERATIONS),
    Rule("vault.queue_act",               (STEWARD,), STAFF, _OPERATE, OPERATIONS),
    # --- vault: removal and upkeep ---
    Rule("vault.set_quota",               (STEWARD,), STAFF, _ADMIN, OPERATIONS),
    Rule("vault.remove_principal",        (STEWARD,), GRANT, _ADMIN, OPERATIONS, units=_PERSON),
    Rule("vault.remove_tenant",           (STEWARD,), GRANT, _ADMIN, OPERATIONS, units=_TENANT),
    Rule("vault.outline",                 (STEWARD,), STAFF, _LOOK, OPERATIONS),
    Rule("vault.mark",                    (STEWARD,), GRANT, _ADMIN, OPERATIONS,
                                          units=_MESSAGES + _PERSON + _CATEGORY + _TENANT),
    Rule("vault.destroy",                 (STEWARD,), GRANT, _ADMIN, OPERATIONS, units=_MESSAGES),
    Rule("vault.destroy_category",        (STEWARD,), GRANT, _ADMIN, OPERATIONS, units=_CATEGORY),
    Rule("vault.purge",                   (STEWARD,), OPERATION, _MAINTAIN, OPERATIONS),
    Rule("vault.hold",                    (STEWARD,), STAFF, _ADMIN, OPERATIONS),
    Rule("vault.release_hold",            (STEWARD,), STAFF, _ADMIN, OPERATIONS),
    Rule("vault.maintain",                (STEWARD,), OPERATION, _MAINTAIN, OPERATIONS),
    Rule("vault.maintain",                (STEWARD,), STAFF, _MAINTAIN, OPERATIONS),
    Rule("vault.check",                   (STEWARD,), OPERATION, _MAINTAIN, OPERATIONS),
    Rule("vault.check",                   (STEWARD,), STAFF, _LOOK, OPERATIONS),
    # --- backups: what each keeper gives to the one worker that ships it ---
    Rule("kms.backup_open",               (BACKUP,), OPERATION, Action.BACKUP, SECRET),
    Rule("kms.backup_slots",              (BACKUP,), OPERATION, Action.BACKUP, SECRET),
    Rule("kms.backup_sign",               (BACKUP,), OPERATION, Action.BACKUP, SECRET),
    Rule("kms.backup_shredded",           (BACKUP,), OPERATION, Action.BACKUP, SECRET),
    Rule("kms.backup_expire",             (BACKUP,), OPERATION, Action.BACKUP, SECRET),
    Rule("vault.backup_hold",             (BACKUP,), OPERATION, Action.BACKUP, MAIL),
    Rule("vault.backup_packs",            (BACKUP,), OPERATION, Action.BACKUP, MAIL),
    Rule("vault.backup_read",             (BACKUP,), OPERATION, Action.BACKUP, MAIL),
    Rule("vault.backup_erased",           (BACKUP,), OPERATION, Action.BACKUP, MAIL),
    Rule("ledger.backup_files",           (BACKUP,), OPERATION, Action.BACKUP, AUDIT),
    Rule("ledger.backup_read",            (BACKUP,), OPERATION, Action.BACKUP, AUDIT),
    Rule("backup.create",                 (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("backup.rekey",                  (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("backup.prune",                  (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("backup.status",                 (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("backup.still_holding",          (STEWARD,)),
    Rule("backup.find",                   (STEWARD,)),
    Rule("backup.destroy",                (STEWARD,), GRANT, _ADMIN, OPERATIONS, units=(Unit.BACKUP,)),
    # --- steward: what an operator asks of a running node, with a ticket narrowed for the steward inside ---
    Rule("steward.tenant_create",         (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.tenant_show",           (CLI,), STAFF, _LOOK, ACCOUNT),
    Rule("steward.tenant_list",           (CLI,), STAFF, _LOOK, ACCOUNT),
    Rule("steward.tenant_delete",         (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.domain_add",            (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.domain_delete",         (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.user_create",           (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.user_show",             (CLI,), STAFF, _LOOK, ACCOUNT),
    Rule("steward.user_list",             (CLI,), STAFF, _LOOK, ACCOUNT),
    Rule("steward.user_status",           (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.user_password",         (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.user_quota",            (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.user_delete",           (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.alias_create",          (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.alias_delete",          (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.group_create",          (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.group_mailbox",         (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.group_members",         (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.group_delete",          (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.address_grant",         (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.app_password_create",   (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.app_password_list",     (CLI,), STAFF, _LOOK, ACCOUNT),
    Rule("steward.app_password_delete",   (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.token_create",          (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.token_list",            (CLI,), STAFF, _LOOK, ACCOUNT),
    Rule("steward.token_delete",          (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.key_reseal",            (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("steward.tenant_custody",        (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("steward.tenant_custody_show",   (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.queue_list",            (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.queue_act",             (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("steward.key_rotate",            (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("steward.key_ceilings",          (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.key_ceiling_lift",      (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("steward.key_rotations",         (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.key_accept_restored",   (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("steward.ledger_accept_restored", (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("steward.withheld",              (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.explain",               (CLI,), STAFF, _LOOK, AUDIT),
    Rule("steward.key_rotate_ticket",     (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("steward.ledger_head",           (CLI,), STAFF, _LOOK, AUDIT),
    Rule("steward.ledger_read",           (CLI,), STAFF, _LOOK, AUDIT),
    Rule("steward.witness_status",        (CLI,), STAFF, _LOOK, AUDIT),
    Rule("steward.export_ask",            (CLI,), STAFF, _ADMIN, ACCOUNT),
    Rule("steward.media_add",             (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("steward.media_list",            (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.media_show",            (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.media_act",             (CLI,), STAFF, _OPERATE, OPERATIONS),
    Rule("steward.media_record",          (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.order_make",            (CLI,), STAFF, _ADMIN, OPERATIONS),
    Rule("steward.order_list",            (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.order_show",            (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.order_resume",          (CLI,), STAFF, _ADMIN, OPERATIONS),
    Rule("steward.look_over",             (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.certificate",           (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.hold_place",            (CLI,), STAFF, _ADMIN, OPERATIONS),
    Rule("steward.hold_list",             (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.hold_show",             (CLI,), STAFF, _LOOK, OPERATIONS),
    Rule("steward.hold_release",          (CLI,), STAFF, _ADMIN, OPERATIONS),
    Rule("steward.store_check",           (CLI,), STAFF, _LOOK, OPERATIONS),
)

DELEGATIONS: Final[tuple[Delegation, ...]] = (
    Delegation((IMAP,),       (VAULT, KMS)),   # reads and changes mail: bodies from one, keys from the other
    # looks at the own ledger, opens what is sealed in it; shares the own mailboxes
    Delegation((OWNER,),      (LEDGER, KMS, VAULT)),
    Delegation((SUBMISSION,), (VAULT,)),       # hands mail in, and never needs a key of the user's
)

# fmt: on


def methods_of(module: str, rules: Iterable[Rule] = RULES) -> tuple[str, ...]:
    """List what a module may call: the `methods` of its module ticket."""
    return tuple(sorted({rule.method for rule in rules if module in rule.callers}))


def audience_of(module: str, rules: Iterable[Rule] = RULES) -> tuple[str, ...]:
    """List the keepers that accept a module's ticket."""
    return tuple(sorted({method.partition(".")[0] for method in methods_of(module, rules)}))


def rules_for(keeper: str, rules: Iterable[Rule] = RULES) -> dict[str, tuple[Rule, ...]]:
    """List a keeper's methods with their lines."""
    table: dict[str, tuple[Rule, ...]] = {}
    for rule in rules:
        if rule.method.startswith(keeper + "."):
            table[rule.method] = (*table.get(rule.method, ()), rule)
    return table


_DELEGATED: Final = frozenset((line.actors, keeper) for line in DELEGATIONS for keeper in line.keepers)


def delegated(actors: tuple[str, ...], keeper: str) -> None:
    """Raise RefusedError unless a user's ticket may come through these modules to this keeper."""
    if (actors, keeper) not in _DELEGATED:
        raise RefusedError(f"{' -> '.join(actors)} may not act for users here", code="refused.delegation")
