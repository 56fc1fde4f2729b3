"""LIST and LSUB: which mailboxes are shown, and with what (RFC 3501, 5258, 5819, 6154, 8440, 9590)."""

from collections.abc import Mapping, Sequence

from postkeep.faces.imap.metadata import read_values
from postkeep.faces.imap.names import ROLE_USES, SEPARATOR, Pattern, Tree, canonical, levels_above
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.status import status_values
from postkeep.faces.imap.texts import completed
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.acl import shown
from postkeep.protocols.imap.commands import ListMailboxes, ReturnAttribute, SelectionOption, StatusItem

Values = Mapping[bytes, list[tuple[str, bytes | None]]]
"""Annotations by mailbox."""


async def list_mailboxes(session: Session, tag: bytes, command: ListMailboxes) -> Completion:
    """Answer LIST and LSUB."""
    del tag
    word = "LSUB" if command.lsub else "LIST"
    if command.patterns == ("",) and not command.extended:
        await session.send(responses.listing(["\\Noselect"], "", utf8=session.utf8, lsub=command.lsub))
        return Completion(completed(word))
    session.condstore |= StatusItem.HIGHESTMODSEQ in command.status
    account = session.need_account()
    tree = await account.tree(
        counts=bool(command.status), deleted_sizes=StatusItem.DELETED_STORAGE in command.status
    )
    values = await read_values(account, tree, command.metadata) if command.metadata else {}
    await session.send(render_list(tree, command, utf8=session.utf8, values=values))
    return Completion(completed(word))


def render_list(tree: Tree, command: ListMailboxes, *, utf8: bool, values: Values | None = None) -> bytes:
    """Write the answer to LIST or LSUB for a tree; `values`: the annotations that it returns too."""
    patterns = [Pattern(_join(command.reference, pattern)) for pattern in command.patterns]
    selector = _Selector(tree, command)
    lines = []
    for name in _matching(patterns, selector.candidates()):
        found = selector.select(name)
        if found is None:
            continue
        attributes, child_info = found
        lines.append(
            responses.listing(attributes, name, utf8=utf8, lsub=command.lsub, child_info=child_info),
        )
        named = tree.by_name.get(name)
        if named is None or not named.row.selectable:
            continue
        if ReturnAttribute.MYRIGHTS in command.returns:
            lines.append(responses.my_rights(name, shown(named.rights), utf8=utf8))
        if command.status:
            status = status_values(named.row, command.status)
            lines.append(responses.mailbox_status(name, status, utf8=utf8))
        if values and named.row.id in values:
            lines.append(responses.metadata(name, values[named.row.id], utf8=utf8))
    return b"".join(lines)


def _matching(patterns: Sequence[Pattern], names: Sequence[str]) -> list[str]:
    """Return the names that any of the patterns matches, each once, in their order."""
    if len(patterns) == 1:
        return list(filter(patterns[0].matches, names))
    return [name for name in names if any(pattern.matches(name) for pattern in patterns)]


class _Selector:
    """Applies the selection options, and finds each name's attributes."""

    def __init__(self, tree: Tree, command: ListMailboxes) -> None:
        self._tree = tree
        self._lsub = command.lsub
        self._subscribed_only = command.lsub or SelectionOption.SUBSCRIBED in command.selection
        self._special_only = SelectionOption.SPECIAL_USE in command.selection
        self._recursive = SelectionOption.RECURSIVEMATCH in command.selection
        self._one_level = any(pattern.endswith("%") for pattern in command.patterns)
        self._tell_subscribed = self._subscribed_only or ReturnAttribute.SUBSCRIBED in command.returns
        looked_at = self._subscribed_only or self._tell_subscribed
        self._subscribed = tree.subscriptions() if looked_at else set()
        uses = (name for name, named in tree.by_name.items() if named.row.role in ROLE_USES)
        self._above_subscribed = levels_above(self._subscribed) if self._subscribed_only else set()
        self._above_special = levels_above(uses) if self._special_only and self._recursive else set()

    def candidates(self) -> list[str]:
        """Return every name that there may be something to say of."""
        names = self._tree.all_names()
        if not self._subscribed_only or not self._tree.lone:
            return names
        known = set(names)
        return names + sorted((self._tree.lone | levels_above(self._tree.lone)) - known)

    def select(self, name: str) -> tuple[list[str], list[str]] | None:
        """Return attributes and CHILDINFO of a name; None: not selected."""
        matches = True
        child_info = []
        if self._subscribed_only:
            matches = name in self._subscribed
            if name in self._above_subscribed:
                child_info.append("SUBSCRIBED")
                if self._lsub and not matches and self._one_level:  # RFC 3501 section 6.3.9
                    return ["\\Noselect"], []
        if self._special_only:
            named = self._tree.by_name.get(name)
            matches &= named is not None and named.row.role in ROLE_USES
            if name in self._above_special:
                child_info.append("SPECIAL-USE")
        if not self._recursive:
            child_info = []
        if not matches and not child_info:
            return None
        return self._attributes(name), child_info

    def _attributes(self, name: str) -> list[str]:
        subscribed = self._tell_subscribed and not self._lsub and name in self._subscribed
        attributes = attributes_of(self._tree, name, subscribed=subscribed)
        return [word for word in attributes if word != "\\NonExistent"] if self._lsub else attributes


def attributes_of(tree: Tree, name: str, *, subscribed: bool) -> list[str]:
    """Return the attributes that LIST gives a name; `subscribed`: say that it is."""
    named = tree.by_name.get(name)
    has_children = name in tree.with_children
    attributes = []
    if named is None:
        attributes += ["\\NonExistent", "\\Noselect"]
    elif not named.row.selectable:
        attributes.append("\\Noselect")
    if has_children or named is not None:
        attributes.append("\\HasChildren" if has_children else "\\HasNoChildren")
    if subscribed:
        attributes.append("\\Subscribed")
    if named is not None and named.row.role in ROLE_USES:
        attributes.append(ROLE_USES[named.row.role])
    return attributes


def _join(reference: str, pattern: str) -> str:
    """Return the pattern as seen from the reference: simply behind it (RFC 3501 section 6.3.8)."""
    if not reference:
        return pattern
    return (canonical(reference) + SEPARATOR if reference.endswith(SEPARATOR) else reference) + pattern
