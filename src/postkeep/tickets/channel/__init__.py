"""The channel between modules: calls that carry tickets, on a Unix socket or over TLS 1.3.

Start with `link` (the caller's side) and `server` (a keeper's). `frames` is what crosses, `handshake` how
two modules come to believe each other; both are pure.
"""

from postkeep.tickets.channel.judge import holds_shares
from postkeep.tickets.channel.link import Link, TlsTarget
from postkeep.tickets.channel.refusal import Refusal
from postkeep.tickets.channel.server import Handler, Server

__all__ = ["Handler", "Link", "Refusal", "Server", "TlsTarget", "holds_shares"]
