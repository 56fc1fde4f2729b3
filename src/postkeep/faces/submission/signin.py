"""What submission answers to an exchange that failed (RFC 4954 section 6)."""

from postkeep.base.errors import PostkeepError, ThrottledError
from postkeep.faces.smtp import replies
from postkeep.protocols.sasl import SaslError
from postkeep.protocols.smtp.replies import Reply


def reply_for_failure(error: PostkeepError) -> Reply:
    """Return the reply to a failed exchange."""
    if replies.family(error.code) == ThrottledError.code:
        return replies.AUTH_THROTTLED
    if error.temporary:
        return replies.AUTH_UNAVAILABLE
    if error.code == SaslError.code:
        return replies.AUTH_MALFORMED
    return replies.AUTH_FAILED
