"""Is the mail really there? Counts messages by IMAP STATUS, over connections that were opened before."""

import imaplib
import re
import time
from collections import Counter

STATUS = re.compile(rb"MESSAGES (\d+)")
POLL_SECONDS = 0.01


class Watcher:
    """One signed-in IMAP session per user."""

    def __init__(self, port: int, addresses: tuple[str, ...], password: str, *, starttls: bool) -> None:
        self._sessions = []
        for address in addresses:
            session = imaplib.IMAP4("127.0.0.1", port)
            if starttls:
                session.starttls(ssl_context=_blind_context())
            session.login(address, password)
            self._sessions.append((address, session))
        self.before = self.counts()

    def counts(self) -> Counter[str]:
        """Return how many messages each user's INBOX has."""
        return Counter({address: _count(session) for address, session in self._sessions})

    def wait_for(self, added: Counter[str], seconds_max: float = 300.0) -> float:
        """Wait until every user has that many messages more; return the moment (monotonic seconds)."""
        deadline = time.monotonic() + seconds_max
        for address, session in self._sessions:
            wanted = self.before[address] + added[address]
            while (have := _count(session)) < wanted:
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{address}: {have - self.before[address]} of {added[address]} arrived"
                    )
                time.sleep(POLL_SECONDS)
            if have > wanted:
                raise RuntimeError(f"{address}: {have - wanted} messages too many")
        return time.monotonic()

    def close(self) -> None:
        """Sign out."""
        for _, session in self._sessions:
            session.logout()


def _count(session: imaplib.IMAP4) -> int:
    _, data = session.status("INBOX", "(MESSAGES)")
    found = STATUS.search(data[0])
    if found is None:
        raise RuntimeError(f"no count in {data!r}")
    return int(found[1])


def _blind_context() -> object:
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
