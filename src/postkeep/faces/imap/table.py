"""The one table of commands: in which states, who answers, what may be told before the tagged line."""

from typing import Any, Final

from postkeep.faces.imap import (
    acl,
    appending,
    authenticating,
    compressing,
    enabling,
    listing,
    mailboxes,
    metadata,
    notifying,
    quota,
    replacing,
    searching,
    selecting,
    signin,
    sorting,
    status,
    storing,
    threading,
)
from postkeep.faces.imap.fetch import fetch
from postkeep.faces.imap.session import ANY, SIGNED_IN, Border, Entry, State, Table
from postkeep.protocols.imap import commands
from postkeep.protocols.imap.acl import DeleteAcl, GetAcl, ListRights, MyRights, SetAcl
from postkeep.protocols.imap.annotations import GetMetadata, SetMetadata
from postkeep.protocols.imap.commands import Bare
from postkeep.protocols.imap.notify import Notify

_EXPUNGES = Border.CHANGES | Border.EXPUNGES
_LOOK = _EXPUNGES | Border.ALWAYS
_NEW = State.NOT_AUTHENTICATED
_SELECTED = State.SELECTED

# Handlers take the command of their own line; the table is what makes sure of that.
_LINES: Final[dict[object, tuple[State, Any, Border]]] = {
    Bare.CAPABILITY: (ANY, signin.capability, Border.NOTHING),
    Bare.NOOP: (ANY, selecting.noop, _LOOK),
    Bare.LOGOUT: (ANY, signin.logout, Border.NOTHING),
    commands.Id: (ANY, signin.identify, Border.NOTHING),
    commands.Language: (ANY, signin.language, Border.NOTHING),
    commands.Compress: (SIGNED_IN, compressing.compress, Border.NOTHING),
    Bare.STARTTLS: (_NEW, signin.start_tls, Border.NOTHING),
    commands.Login: (_NEW, authenticating.login, Border.NOTHING),
    commands.Authenticate: (_NEW, authenticating.authenticate, Border.NOTHING),
    commands.Enable: (State.AUTHENTICATED, enabling.enable, Border.NOTHING),
    commands.Select: (SIGNED_IN, selecting.select, Border.NOTHING),
    commands.Create: (SIGNED_IN, mailboxes.create, _EXPUNGES),
    commands.Delete: (SIGNED_IN, mailboxes.delete, _EXPUNGES),
    commands.Rename: (SIGNED_IN, mailboxes.rename, _EXPUNGES),
    commands.Subscribe: (SIGNED_IN, mailboxes.subscribe, _EXPUNGES),
    commands.ListMailboxes: (SIGNED_IN, listing.list_mailboxes, _EXPUNGES),
    commands.Status: (SIGNED_IN, status.status, _EXPUNGES),
    commands.Append: (SIGNED_IN, appending.append, _EXPUNGES),
    commands.Replace: (_SELECTED, replacing.replace, _EXPUNGES),
    Bare.UNAUTHENTICATE: (SIGNED_IN, authenticating.unauthenticate, Border.NOTHING),
    Bare.NAMESPACE: (SIGNED_IN, mailboxes.namespace, _EXPUNGES),
    commands.GetQuota: (SIGNED_IN, quota.get_quota, _EXPUNGES),
    commands.GetQuotaRoot: (SIGNED_IN, quota.get_quota_root, _EXPUNGES),
    commands.SetQuota: (SIGNED_IN, quota.set_quota, _EXPUNGES),
    GetMetadata: (SIGNED_IN, metadata.get_metadata, _EXPUNGES),
    SetMetadata: (SIGNED_IN, metadata.set_metadata, _EXPUNGES),
    Notify: (SIGNED_IN, notifying.notify, _LOOK),
    SetAcl: (SIGNED_IN, acl.set_acl, _EXPUNGES),
    DeleteAcl: (SIGNED_IN, acl.delete_acl, _EXPUNGES),
    GetAcl: (SIGNED_IN, acl.get_acl, _EXPUNGES),
    ListRights: (SIGNED_IN, acl.list_rights, _EXPUNGES),
    MyRights: (SIGNED_IN, acl.my_rights, _EXPUNGES),
    Bare.IDLE: (SIGNED_IN, selecting.idle, Border.NOTHING),
    Bare.CHECK: (_SELECTED, selecting.noop, _LOOK),
    Bare.CLOSE: (_SELECTED, selecting.close, Border.NOTHING),
    Bare.UNSELECT: (_SELECTED, selecting.unselect, Border.NOTHING),
    Bare.EXPUNGE: (_SELECTED, selecting.expunge, _EXPUNGES),
    commands.UidExpunge: (_SELECTED, selecting.uid_expunge, _EXPUNGES),
    commands.Search: (_SELECTED, searching.search, Border.CHANGES),
    commands.Sort: (_SELECTED, sorting.sort, Border.CHANGES),
    commands.Thread: (_SELECTED, threading.thread, Border.CHANGES),
    commands.Fetch: (_SELECTED, fetch, Border.CHANGES),
    commands.Store: (_SELECTED, storing.store, Border.CHANGES),
    commands.Copy: (_SELECTED, storing.copy, _EXPUNGES),
}

TABLE: Final = Table({command: Entry(*line) for command, line in _LINES.items()}, notifying.at_border)
