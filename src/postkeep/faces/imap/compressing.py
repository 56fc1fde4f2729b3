"""COMPRESS=DEFLATE (RFC 4978): after sign-in, and so under TLS only."""

from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import Text, completed
from postkeep.protocols.imap.commands import Compress

MECHANISM = "DEFLATE"


async def compress(session: Session, tag: bytes, command: Compress) -> Completion:
    """Answer COMPRESS; everything after the answer is compressed, in both directions."""
    if command.mechanism != MECHANISM:
        raise CommandError(Text.NO_COMPRESSION, "CANNOT")
    if session.wire.compressed:
        raise CommandError(Text.COMPRESSED_ALREADY, "COMPRESSIONACTIVE")
    if session.wire.backlog:  # it could be either, compressed or not
        raise CommandError(Text.COMPRESS_COMES_LAST, bad=True)
    await session.send(session.say(tag, "OK", completed("COMPRESS")))
    session.wire.start_compression()
    return Completion("")
