"""Every command as a frozen value. Mailbox names are text; what they mean is the server's business."""

from enum import StrEnum

import msgspec

from postkeep.protocols.imap.acl import DeleteAcl, GetAcl, ListRights, MyRights, SetAcl
from postkeep.protocols.imap.annotations import GetMetadata, SetMetadata
from postkeep.protocols.imap.fetch import FetchItem
from postkeep.protocols.imap.notify import Notify
from postkeep.protocols.imap.partial import PartialRange
from postkeep.protocols.imap.reader import Literal
from postkeep.protocols.imap.search import Returns, SearchKey
from postkeep.protocols.imap.sequence import SequenceSet
from postkeep.protocols.imap.sort import SortKey, ThreadAlgorithm, check_sort_keys


class Bare(StrEnum):
    """Commands without arguments."""

    CAPABILITY = "CAPABILITY"
    NOOP = "NOOP"
    LOGOUT = "LOGOUT"
    STARTTLS = "STARTTLS"
    CHECK = "CHECK"
    CLOSE = "CLOSE"
    UNSELECT = "UNSELECT"
    IDLE = "IDLE"
    NAMESPACE = "NAMESPACE"
    EXPUNGE = "EXPUNGE"
    UNAUTHENTICATE = "UNAUTHENTICATE"


class Authenticate(msgspec.Struct, frozen=True):
    """AUTHENTICATE with its initial response, still in base64 (RFC 4959); None: there is none."""

    mechanism: str
    initial: bytes | None = None


class Login(msgspec.Struct, frozen=True):
    """LOGIN."""

    user: bytes
    password: bytes

    def __repr__(self) -> str:
        return "Login(...)"


class Enable(msgspec.Struct, frozen=True):
    """ENABLE (RFC 5161)."""

    capabilities: tuple[str, ...]


class Compress(msgspec.Struct, frozen=True):
    """COMPRESS (RFC 4978)."""

    mechanism: str


class Language(msgspec.Struct, frozen=True):
    """LANGUAGE (RFC 5255); no ranges: which are there."""

    ranges: tuple[str, ...]


class Id(msgspec.Struct, frozen=True):
    """ID (RFC 2971); None: NIL."""

    fields: tuple[tuple[bytes, bytes | None], ...] | None


class Resync(msgspec.Struct, frozen=True):
    """QRESYNC of SELECT (RFC 7162 section 3.2.5): what the client knew when it went away.

    Message numbers with their UIDs, which may stand there too, are read and left out: they help servers that
    forget which UIDs went.
    """

    uid_validity: int
    modseq: int
    known: SequenceSet | None = None
    """The UIDs it holds; None: all up to then."""


class Select(msgspec.Struct, frozen=True):
    """SELECT, or EXAMINE where `read_only`."""

    mailbox: str
    read_only: bool = False
    condstore: bool = False
    resync: Resync | None = None


class Create(msgspec.Struct, frozen=True):
    """CREATE, with the special uses asked for (RFC 6154)."""

    mailbox: str
    uses: tuple[str, ...] = ()


class Delete(msgspec.Struct, frozen=True):
    """DELETE."""

    mailbox: str


class Rename(msgspec.Struct, frozen=True):
    """RENAME."""

    mailbox: str
    target: str


class Subscribe(msgspec.Struct, frozen=True):
    """SUBSCRIBE, or UNSUBSCRIBE."""

    mailbox: str
    subscribed: bool = True


class SelectionOption(StrEnum):
    """Which mailboxes LIST selects (RFC 5258, 6154)."""

    SUBSCRIBED = "SUBSCRIBED"
    REMOTE = "REMOTE"
    RECURSIVEMATCH = "RECURSIVEMATCH"
    SPECIAL_USE = "SPECIAL-USE"


class ReturnAttribute(StrEnum):
    """What LIST returns beside the name (RFC 5258, 6154)."""

    SUBSCRIBED = "SUBSCRIBED"
    CHILDREN = "CHILDREN"
    SPECIAL_USE = "SPECIAL-USE"
    MYRIGHTS = "MYRIGHTS"
    """In a line of its own (RFC 8440)."""


class StatusItem(StrEnum):
    """What STATUS returns (RFC 3501, 7162, 8438, 8474, 9051, 9208, 7889)."""

    MESSAGES = "MESSAGES"
    RECENT = "RECENT"
    UIDNEXT = "UIDNEXT"
    UIDVALIDITY = "UIDVALIDITY"
    UNSEEN = "UNSEEN"
    DELETED = "DELETED"
    SIZE = "SIZE"
    HIGHESTMODSEQ = "HIGHESTMODSEQ"
    APPENDLIMIT = "APPENDLIMIT"
    DELETED_STORAGE = "DELETED-STORAGE"
    MAILBOXID = "MAILBOXID"


class ListMailboxes(msgspec.Struct, frozen=True):
    """LIST with everything that RFC 5258, 5819, 6154, 8440 and 9590 add; `lsub`: LSUB."""

    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[SelectionOption] = frozenset()
    returns: frozenset[ReturnAttribute] = frozenset()
    status: tuple[StatusItem, ...] = ()
    extended: bool = False
    lsub: bool = False
    metadata: tuple[str, ...] = ()
    """Entries whose values come along."""


class Status(msgspec.Struct, frozen=True):
    """STATUS."""

    mailbox: str
    items: tuple[StatusItem, ...]


class MessageUrl(msgspec.Struct, frozen=True):
    """An IMAP URL as it was written, of which CATENATE takes the octets (RFC 4469, 5092)."""

    text: str


class NewMessage(msgspec.Struct, frozen=True):
    """A message to be stored; its octets are those of `parts` one after the other."""

    flags: tuple[str, ...]
    date_ms: int | None
    """INTERNALDATE; None: now."""
    parts: tuple[Literal | MessageUrl, ...]

    def __repr__(self) -> str:
        return "NewMessage(...)"


class Append(msgspec.Struct, frozen=True):
    """APPEND of one message, or of several (RFC 3502)."""

    mailbox: str
    messages: tuple[NewMessage, ...]


class Replace(msgspec.Struct, frozen=True):
    """REPLACE (RFC 8508): a message that takes the place of another one; `number` None: the last one."""

    number: int | None
    mailbox: str
    message: NewMessage
    uid: bool = False


class GetQuota(msgspec.Struct, frozen=True):
    """GETQUOTA (RFC 9208)."""

    root: str


class SetQuota(msgspec.Struct, frozen=True):
    """SETQUOTA (RFC 9208): resources and their limits."""

    root: str
    limits: tuple[tuple[str, int], ...]


class GetQuotaRoot(msgspec.Struct, frozen=True):
    """GETQUOTAROOT (RFC 9208)."""

    mailbox: str


class UidExpunge(msgspec.Struct, frozen=True):
    """UID EXPUNGE (RFC 4315)."""

    sequence: SequenceSet


class Search(msgspec.Struct, frozen=True):
    """SEARCH; `returns` None: the old form of answer."""

    key: SearchKey
    uid: bool = False
    returns: Returns | None = None


class Sort(msgspec.Struct, frozen=True):
    """SORT (RFC 5256); with `returns` the answer is that of ESORT (RFC 5267)."""

    order: tuple[SortKey, ...]
    key: SearchKey
    uid: bool = False
    returns: Returns | None = None

    def __post_init__(self) -> None:
        """Refuse what the grammar has no form for."""
        check_sort_keys(self.order)


class Thread(msgspec.Struct, frozen=True):
    """THREAD (RFC 5256)."""

    algorithm: ThreadAlgorithm
    key: SearchKey
    uid: bool = False


class Fetch(msgspec.Struct, frozen=True):
    """FETCH, with CHANGEDSINCE and VANISHED (RFC 7162 sections 3.1.4, 3.2.6) and PARTIAL (RFC 9394)."""

    sequence: SequenceSet
    items: tuple[FetchItem, ...]
    uid: bool = False
    changed_since: int | None = None
    vanished: bool = False
    partial: PartialRange | None = None


class StoreMode(StrEnum):
    """How STORE changes flags."""

    REPLACE = ""
    ADD = "+"
    REMOVE = "-"


class Store(msgspec.Struct, frozen=True):
    """STORE, with UNCHANGEDSINCE (RFC 7162 section 3.1.3)."""

    sequence: SequenceSet
    mode: StoreMode
    flags: tuple[str, ...]
    silent: bool = False
    uid: bool = False
    unchanged_since: int | None = None


class Copy(msgspec.Struct, frozen=True):
    """COPY, or MOVE (RFC 6851)."""

    sequence: SequenceSet
    mailbox: str
    uid: bool = False
    move: bool = False


Command = (
    Bare
    | Authenticate
    | Login
    | Enable
    | Id
    | Compress
    | Language
    | Select
    | Create
    | Delete
    | Rename
    | Subscribe
    | ListMailboxes
    | Status
    | Append
    | Replace
    | SetAcl
    | DeleteAcl
    | GetAcl
    | ListRights
    | MyRights
    | GetQuota
    | GetQuotaRoot
    | SetQuota
    | GetMetadata
    | SetMetadata
    | Notify
    | UidExpunge
    | Search
    | Sort
    | Thread
    | Fetch
    | Store
    | Copy
)


class Request(msgspec.Struct, frozen=True):
    """A command under its tag."""

    tag: bytes
    command: Command
