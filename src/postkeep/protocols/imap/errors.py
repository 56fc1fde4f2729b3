"""What can go wrong between bytes and values."""

from postkeep.base.errors import InvalidInputError, LimitError


class ImapSyntaxError(InvalidInputError):
    """A command that can't be understood: the answer is a tagged BAD, with `tag` where one could be read."""

    code = "imap_syntax"
    public_text = "The command is not valid."

    def __init__(self, text: str, *, tag: bytes = b"") -> None:
        super().__init__(text, public_text=text)
        self.tag = tag


class ImapCharsetError(ImapSyntaxError):
    """A SEARCH in a character set that we don't know: NO [BADCHARSET] (RFC 3501 section 6.4.4)."""

    code = "imap_charset"


class ImapStreamError(LimitError):
    """The stream can't be followed any further: say BYE and hang up."""

    code = "imap_stream"
    public_text = "The command is too long."
