"""LIST and LSUB: which mailboxes a client is shown, and with which attributes (RFC 3501, 5258, 6154)."""

from postkeep.faces.imap.mailboxes import status_values
from postkeep.faces.imap.names import ROLE_USES, SEPARATOR, Pattern, Tree, canonical
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import completed
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import ListMailboxes, ReturnAttribute, SelectionOption, StatusItem


async def list_mailboxes(session: Session, tag: bytes, command: ListMailboxes) -> Completion:
    """Answer LIST and LSUB."""
    del tag
    word = "LSUB" if command.lsub else "LIST"
    if command.patterns == ("",) and not command.extended:
        await session.send(responses.listing(["\\Noselect"], "", utf8=session.utf8, lsub=command.lsub))
        return Completion(completed(word))
    session.condstore |= StatusItem.HIGHESTMODSEQ in command.status
    tree = await session.need_account().tree()
    await session.send(render_list(tree, command, utf8=session.utf8))
    return Completion(completed(word))


def render_list(tree: Tree, command: ListMailboxes, *, utf8: bool) -> bytes:
    """Write the answer to LIST or LSUB for a tree."""
    patterns = [Pattern(_join(command.reference, pattern)) for pattern in command.patterns]
    selector = _Selector(tree, command)
    lines = []
    for name in tree.all_names():
        if not any(pattern.matches(name) for pattern in patterns):
            continue
        found = selector.select(name)
        if found is None:
            continue
        attributes, child_info = found
        lines.append(
            responses.listing(attributes, name, utf8=utf8, lsub=command.lsub, child_info=child_info),
        )
        named = tree.by_name.get(name)
        if command.status and named is not None and named.row.selectable:
            values = status_values(named.row, command.status)
            lines.append(responses.mailbox_status(name, values, utf8=utf8))
    return b"".join(lines)


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
        self._above_subscribed = {
            name[:at]
            for name, named in tree.by_name.items()
            if named.row.subscribed
            for at, char in enumerate(name)
            if char == SEPARATOR
        }

    def select(self, name: str) -> tuple[list[str], list[str]] | None:
        """Return attributes and CHILDINFO of a name; None: not selected."""
        named = self._tree.by_name.get(name)
        subscribed = named is not None and named.row.subscribed
        below = name in self._above_subscribed
        if self._special_only and (named is None or named.row.role not in ROLE_USES):
            return None
        child_info: list[str] = []
        if self._subscribed_only and not subscribed:
            if self._lsub and below and self._one_level:  # RFC 3501 section 6.3.9
                return ["\\Noselect"], []
            if not (self._recursive and below):
                return None
        if self._recursive and below:
            child_info = ["SUBSCRIBED"]
        return self._attributes(name, subscribed=subscribed), child_info

    def _attributes(self, name: str, *, subscribed: bool) -> list[str]:
        named = self._tree.by_name.get(name)
        attributes = []
        if named is None:
            attributes += ["\\NonExistent", "\\Noselect"]
        elif not named.row.selectable:
            attributes.append("\\Noselect")
        attributes.append("\\HasChildren" if name in self._tree.with_children else "\\HasNoChildren")
        if self._tell_subscribed and subscribed and not self._lsub:
            attributes.append("\\Subscribed")
        if named is not None and named.row.role in ROLE_USES:
            attributes.append(ROLE_USES[named.row.role])
        return attributes


def _join(reference: str, pattern: str) -> str:
    """Return the pattern as seen from the reference: simply behind it (RFC 3501 section 6.3.8)."""
    if not reference:
        return pattern
    return (canonical(reference) + SEPARATOR if reference.endswith(SEPARATOR) else reference) + pattern
