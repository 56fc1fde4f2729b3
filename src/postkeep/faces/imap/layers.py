"""What lies between the socket and the commands: TLS, and under it compression (RFC 4978 section 3)."""

import ssl

from postkeep.faces.tls import TlsLayer
from postkeep.protocols.imap.deflate import Inflater, deflate


class Layers:
    """The layers of one connection, outermost first. What each holds back is bounded by itself."""

    __slots__ = ("_inflater", "_tls")

    def __init__(self) -> None:
        self._tls: TlsLayer | None = None
        self._inflater: Inflater | None = None

    def add_tls(self, context: ssl.SSLContext) -> None:
        """Take everything from now on as TLS; the client speaks first."""
        self._tls = TlsLayer(context)

    def add_compression(self) -> None:
        """Take everything from now on as compressed, in both directions."""
        self._inflater = Inflater()

    @property
    def secure(self) -> bool:
        """Whether TLS is established."""
        return self._tls is not None and self._tls.established

    @property
    def handshaking(self) -> bool:
        """Whether TLS has begun and is not established yet."""
        return self._tls is not None and not self._tls.established

    @property
    def ended(self) -> bool:
        """Whether the client has said at the level of TLS that it sends no more."""
        return self._tls is not None and self._tls.ended

    @property
    def compressed(self) -> bool:
        """Whether compression is active."""
        return self._inflater is not None

    def receive(self, data: bytes) -> bytes:
        """Take what the socket gave; return the octets of commands, with more to come from `more`.

        Raises TlsError and ImapStreamError; `take_output` has what is to be sent all the same.
        """
        if self._tls is not None:
            data = self._tls.feed(data)
        if self._inflater is None or not data:
            return data
        self._inflater.feed(data)
        return self._inflater.step()

    def more(self) -> bytes:
        """Return further octets of what was received; nothing: that was all."""
        return self._inflater.step() if self._inflater is not None else b""

    def send(self, data: bytes) -> bytes:
        """Return what goes to the socket for these octets, together with what TLS has to say itself."""
        if self._inflater is not None and data:
            data = deflate(data)
        if self._tls is None:
            return data
        if data:
            self._tls.write(data)
        return self._tls.take_output()

    def close(self) -> bytes:
        """Return the goodbye of TLS."""
        if self._tls is None or not self._tls.established:
            return b""
        self._tls.close()
        return self._tls.take_output()
