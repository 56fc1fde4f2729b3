"""The error tree. An error says what happened without knowing any wire.

Each face has one table from `code` to its own reply; nothing but `public_text` ever reaches a stranger,
and `detail` reaches logs only.
"""


class PostkeepError(Exception):
    """The root: a stable `code`, whether trying again may help, a text for the person, a detail for us."""

    code: str = "internal"
    temporary: bool = False
    public_text: str = "Something went wrong on our side."

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        temporary: bool | None = None,
        public_text: str | None = None,
    ) -> None:
        super().__init__(detail or public_text or self.public_text)
        self.detail = detail
        if code is not None:
            self.code = code
        if temporary is not None:
            self.temporary = temporary
        if public_text is not None:
            self.public_text = public_text


class InvalidInputError(PostkeepError):
    """The caller's input is malformed or breaks a rule; trying again unchanged will fail again."""

    code = "invalid"
    public_text = "The request is not valid."


class NotFoundError(PostkeepError):
    """The thing named does not exist, or the caller may not know that it does."""

    code = "not_found"
    public_text = "There is no such thing."


class ConflictError(PostkeepError):
    """The thing exists already or has changed since the caller looked."""

    code = "conflict"
    public_text = "It exists already, or has changed meanwhile."


class RefusedError(PostkeepError):
    """A ticket, a right or a policy forbids it."""

    code = "refused"
    public_text = "This is not permitted."


class ApprovalNeededError(RefusedError):
    """It may be done when other people have approved it; `code` ends with the request that waits for them."""

    code = "approval_needed"
    public_text = "Other people must approve this first."


class UnavailableError(PostkeepError):
    """Something we depend on does not answer; nothing was done, and trying later may help."""

    code = "unavailable"
    temporary = True
    public_text = "The service is not available at the moment."


class LimitError(PostkeepError):
    """A named limit was reached."""

    code = "limit"
    public_text = "A limit was reached."


class QuotaError(LimitError):
    """The mailbox owner's quota would be exceeded."""

    code = "over_quota"
    public_text = "The mailbox is full."


class ThrottledError(LimitError):
    """Too many attempts; wait and try again."""

    code = "throttled"
    temporary = True
    public_text = "Too many attempts. Please wait a moment."


class IntegrityError(PostkeepError):
    """Stored or received bytes fail their authentication: corruption or tampering."""

    code = "integrity"
    public_text = "Stored data failed its integrity check."
