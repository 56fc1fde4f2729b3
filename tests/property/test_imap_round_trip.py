"""Every command value survives being written by the client's half and read by the server's."""

import datetime as dt
import itertools
import operator

from hypothesis import given
from hypothesis import strategies as st

from postkeep.protocols.imap.acl import AclMode, DeleteAcl, GetAcl, ListRights, MyRights, SetAcl
from postkeep.protocols.imap.annotations import Depth, GetMetadata, SetMetadata
from postkeep.protocols.imap.commands import (
    Append,
    Authenticate,
    Bare,
    Command,
    Compress,
    Copy,
    Create,
    Delete,
    Enable,
    Fetch,
    GetQuota,
    GetQuotaRoot,
    Id,
    Language,
    ListMailboxes,
    Login,
    MessageUrl,
    NewMessage,
    Rename,
    Replace,
    Request,
    Resync,
    ReturnAttribute,
    Search,
    Select,
    SelectionOption,
    SetQuota,
    Sort,
    Status,
    StatusItem,
    Store,
    StoreMode,
    Subscribe,
    Thread,
    UidExpunge,
)
from postkeep.protocols.imap.encoder import encode_command
from postkeep.protocols.imap.fetch import (
    OLD_ITEMS,
    Attribute,
    BinarySection,
    BodySection,
    Partial,
    Preview,
    Section,
    SectionText,
)
from postkeep.protocols.imap.notify import (
    MESSAGE_EVENTS,
    SELECTED_FILTERS,
    Event,
    EventGroup,
    MailboxFilter,
    Notify,
)
from postkeep.protocols.imap.parser import parse_command
from postkeep.protocols.imap.partial import PartialRange
from postkeep.protocols.imap.reader import CommandBytes, CommandReader, Continue
from postkeep.protocols.imap.search import (
    All,
    And,
    Body,
    Date,
    DateRelation,
    DateSource,
    HasFlag,
    HasObjectId,
    Header,
    Larger,
    ModSeq,
    Not,
    Numbers,
    ObjectKind,
    Or,
    ReturnOption,
    Returns,
    SearchKey,
    Smaller,
    Text,
    Within,
)
from postkeep.protocols.imap.sequence import STAR, SequenceSet, merge, parse_sequence, render_ranges
from postkeep.protocols.imap.sort import SortField, SortKey, ThreadAlgorithm
from postkeep.protocols.imap.utf7 import decode_utf7, encode_utf7

numbers = st.integers(1, STAR)
sequences = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5).map(
    lambda ranges: SequenceSet(tuple(ranges)),
)
names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]),
    max_size=20,
)
identifiers = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
octets = st.binary(max_size=40).filter(lambda value: 0 not in value)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
keywords = st.from_regex(r"\$?[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
flags = st.one_of(st.sampled_from(["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"]), keywords)
flag_lists = st.lists(flags, unique=True, max_size=5).map(tuple)
urls = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
new_messages = st.builds(
    NewMessage,
    flag_lists,
    st.none() | st.integers(0, 200_000_000_000).map(lambda seconds: seconds * 1000),
    st.lists(st.binary(max_size=200) | urls.map(MessageUrl), min_size=1, max_size=3).map(tuple),
)
days = st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))
modseqs = st.integers(0, (1 << 63) - 1)
sizes = st.integers(0, 0xFFFFFFFF)
partials = st.none() | st.builds(Partial, sizes, st.integers(1, 0xFFFFFFFF))
parts = st.lists(st.integers(1, 999), max_size=4).map(tuple)
field_names = st.lists(
    st.from_regex(r"[!-9;-~]{1,12}", fullmatch=True).map(str.encode), min_size=1, max_size=4
)


@st.composite
def sections(draw: st.DrawFn) -> Section:
    part = draw(parts)
    kinds = [text for text in SectionText if part or text is not SectionText.MIME]
    text = draw(st.sampled_from(kinds))
    named = text in {SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT}
    return Section(part, text, tuple(draw(field_names)) if named else ())


items = st.one_of(
    st.sampled_from(list(Attribute)),
    st.sampled_from(list(OLD_ITEMS.values())),
    st.builds(BodySection, sections(), partials, st.booleans()),
    st.builds(BinarySection, parts, partials, st.booleans()),
    parts.map(lambda part: BinarySection(part, size=True)),
    st.builds(Preview, st.booleans()),
)
known_uids = st.lists(st.tuples(st.integers(1, STAR - 1), st.integers(1, STAR - 1)), min_size=1, max_size=3)
resyncs = st.none() | st.builds(
    Resync,
    st.integers(1, STAR - 1),
    st.integers(1, (1 << 63) - 1),
    st.none() | known_uids.map(lambda ranges: SequenceSet(tuple(ranges))),
)

object_ids = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
sort_keys = st.builds(SortKey, st.sampled_from(SortField), st.booleans())
leaf_keys: st.SearchStrategy[SearchKey] = st.one_of(
    st.just(All()),
    st.sampled_from(["\\Seen", "\\Recent", "\\Draft", "\\Answered"]).map(HasFlag),
    keywords.map(HasFlag),
    st.builds(Header, st.sampled_from(["FROM", "TO", "SUBJECT", "X-SPAM"]), texts),
    st.builds(Body, texts),
    st.builds(Text, texts),
    st.builds(Date, st.sampled_from(DateSource), st.sampled_from(DateRelation), days),
    st.builds(Larger, sizes),
    st.builds(Smaller, sizes),
    st.builds(Numbers, sequences, st.booleans()),
    st.builds(ModSeq, modseqs),
    st.builds(Within, st.integers(1, 0xFFFFFFFF), st.booleans()),
    st.builds(
        HasObjectId, st.sampled_from(ObjectKind), st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
    ),
)
places = st.integers(1, 0xFFFFFFFF)
windows = st.builds(PartialRange, places, places) | st.builds(
    PartialRange, places.map(operator.neg), places.map(operator.neg)
)
returns = (
    st.none()
    | st.builds(Returns, st.frozensets(st.sampled_from(ReturnOption), min_size=1))
    | st.builds(
        Returns,
        st.frozensets(st.sampled_from([option for option in ReturnOption if option != ReturnOption.ALL])),
        windows,
    )
)
keys = st.recursive(
    leaf_keys,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(Or, inner, inner),
        st.lists(inner, min_size=2, max_size=4).map(lambda found: And(tuple(found))),
    ),
    max_leaves=8,
)
status_items = st.lists(st.sampled_from(StatusItem), unique=True, min_size=1).map(tuple)
selections = st.frozensets(st.sampled_from(SelectionOption)).map(
    lambda found: found | {SelectionOption.SUBSCRIBED} if SelectionOption.RECURSIVEMATCH in found else found,
)
entry_names = st.from_regex(r"/(private|shared)(/[a-z0-9.:_-]{1,8}){1,3}", fullmatch=True)
entry_lists = st.lists(entry_names, unique=True, min_size=1, max_size=3).map(tuple)
message_events = st.sampled_from(
    [
        frozenset[Event](),
        frozenset({Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE}),
        MESSAGE_EVENTS,
    ]
)
unknown_events = st.sampled_from([(), ("AnnotationChange",)])
event_groups = st.one_of(
    st.builds(
        EventGroup,
        st.sampled_from([MailboxFilter.PERSONAL, MailboxFilter.INBOXES, MailboxFilter.SUBSCRIBED]),
        events=st.builds(
            frozenset.union,
            message_events,
            st.frozensets(st.sampled_from([Event.MAILBOX_NAME, Event.SERVER_METADATA_CHANGE])),
        ),
        unknown=unknown_events,
    ),
    st.builds(
        EventGroup,
        st.sampled_from([MailboxFilter.SUBTREE, MailboxFilter.MAILBOXES]),
        st.lists(names, min_size=1, max_size=3).map(tuple),
        message_events,
    ),
)
selected_groups = st.one_of(
    st.builds(EventGroup, st.sampled_from(sorted(SELECTED_FILTERS)), events=message_events),
    st.builds(
        EventGroup,
        st.just(MailboxFilter.SELECTED),
        events=st.just(MESSAGE_EVENTS),
        items=st.lists(items, unique=True, min_size=1, max_size=3).map(tuple),
    ),
)
extended_lists = st.builds(
    ListMailboxes,
    names,
    st.lists(names, min_size=1, max_size=3).map(tuple),
    selections,
    st.frozensets(st.sampled_from(ReturnAttribute)),
    st.just(()) | status_items,
    st.just(value=True),
    metadata=st.just(()) | entry_lists,
)
commands: st.SearchStrategy[Command] = st.one_of(
    st.sampled_from(Bare),
    st.builds(Authenticate, st.just("PLAIN"), st.none() | st.sampled_from([b"=", b"AGEAYg=="])),
    st.builds(Login, octets, octets),
    st.builds(Enable, st.lists(st.sampled_from(["CONDSTORE", "IMAP4REV2"]), min_size=1).map(tuple)),
    st.builds(Id, st.none() | st.lists(st.tuples(octets, st.none() | octets), max_size=3).map(tuple)),
    st.builds(Compress, st.sampled_from(["DEFLATE", "LZMA"])),
    st.builds(Language, st.lists(st.sampled_from(["en", "zh-CN", "*", "de-DE"]), max_size=3).map(tuple)),
    st.builds(Select, names, st.booleans(), st.booleans(), resyncs),
    st.builds(Create, names, st.sampled_from([(), ("\\Sent",), ("\\Junk", "\\Trash")])),
    st.builds(Delete, names),
    st.builds(Rename, names, names),
    st.builds(Subscribe, names, st.booleans()),
    extended_lists,
    st.builds(ListMailboxes, names, names.map(lambda name: (name,)), lsub=st.booleans()),
    st.builds(Status, names, status_items),
    st.builds(Append, names, st.lists(new_messages, min_size=1, max_size=3).map(tuple)),
    st.builds(Replace, st.none() | st.integers(1, 2**32 - 1), names, new_messages, st.booleans()),
    st.builds(GetQuota, names),
    st.builds(GetQuotaRoot, names),
    st.builds(
        SetQuota, names, st.lists(st.tuples(st.sampled_from(["STORAGE", "MESSAGE"]), modseqs)).map(tuple)
    ),
    st.builds(
        GetMetadata,
        names,
        entry_lists,
        st.none() | sizes,
        st.sampled_from(Depth),
    ),
    st.builds(
        SetMetadata,
        names,
        st.dictionaries(entry_names, st.none() | st.binary(max_size=30), min_size=1, max_size=3).map(
            lambda values: tuple(values.items())
        ),
    ),
    st.just(Notify()),
    st.builds(
        Notify,
        st.tuples(st.none() | selected_groups, st.lists(event_groups, min_size=1, max_size=3)).map(
            lambda pair: (*([] if pair[0] is None else [pair[0]]), *pair[1])
        ),
        st.booleans(),
    ),
    st.builds(SetAcl, names, identifiers, st.sampled_from(AclMode), st.text("lrswipkxteacd", max_size=13)),
    st.builds(DeleteAcl, names, identifiers),
    st.builds(GetAcl, names),
    st.builds(ListRights, names, identifiers),
    st.builds(MyRights, names),
    st.builds(UidExpunge, sequences),
    st.builds(Search, keys, st.booleans(), returns),
    st.builds(
        Sort,
        st.lists(st.builds(SortKey, st.sampled_from(SortField), st.booleans()), min_size=1, max_size=4).map(
            tuple
        ),
        keys,
        st.booleans(),
        returns,
    ),
    st.builds(Thread, st.sampled_from(ThreadAlgorithm), keys, st.booleans()),
    st.builds(
        Fetch,
        sequences,
        st.lists(items, min_size=1, max_size=5, unique=True).map(tuple),
        st.booleans(),
        st.none() | modseqs,
        st.just(False),
        st.none() | windows,
    ),
    st.builds(
        Fetch,
        sequences,
        st.just((Attribute.FLAGS,)),
        st.just(True),
        modseqs,
        st.booleans(),
        st.none() | windows,
    ),
    st.builds(
        Store,
        sequences,
        st.sampled_from(StoreMode),
        flag_lists,
        st.booleans(),
        st.booleans(),
        st.none() | modseqs,
    ),
    st.builds(Copy, sequences, names, st.booleans(), st.booleans()),
)


def read_back(pieces: list[bytes], *, utf8: bool) -> Request:
    reader = CommandReader()
    reader.literal_bytes_max = reader.append_bytes_max = 1 << 20
    for piece in pieces[:-1]:
        reader.feed(piece)
        assert isinstance(reader.next_event(), Continue)
    reader.feed(pieces[-1])
    event = reader.next_event()
    assert isinstance(event, CommandBytes)
    assert not reader.in_command
    return parse_command(event, utf8=utf8)


@given(commands, st.booleans(), st.booleans())
def test_a_command_written_by_the_client_is_the_command_the_server_reads(
    command: Command,
    literal_plus: bool,  # noqa: FBT001 - drawn by hypothesis
    utf8: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    pieces = encode_command(b"t1", command, literal_plus=literal_plus, utf8=utf8)
    assert read_back(pieces, utf8=utf8) == Request(b"t1", command)


@given(sequences)
def test_a_sequence_set_is_written_as_it_was_read(sequence: SequenceSet) -> None:
    assert parse_sequence(bytes(sequence)) == sequence


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=12))
def test_merged_ranges_hold_the_same_numbers(pairs: list[tuple[int, int]]) -> None:
    spans = [(low, low + more) for low, more in pairs]
    merged = merge(spans)
    assert {n for low, high in merged for n in range(low, high + 1)} == {
        n for low, high in spans for n in range(low, high + 1)
    }
    assert all(left[1] + 1 < right[0] for left, right in itertools.pairwise(merged))
    if merged:
        assert parse_sequence(render_ranges(merged)).resolve(100) == merged


@given(names)
def test_a_mailbox_name_survives_modified_utf7(name: str) -> None:
    assert decode_utf7(encode_utf7(name)) == name
    assert encode_utf7(name).isascii()
