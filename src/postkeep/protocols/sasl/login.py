"""LOGIN: the server asks for the name, then for the password. Never standardised, spoken by many clients.

Source: draft-murchison-sasl-login-00. Two challenges whose text clients ignore or compare.
"""

from typing import Final

from postkeep.protocols.sasl import NAME_BYTES_MAX, PASSWORD_BYTES_MAX, SaslError
from postkeep.protocols.sasl.plain import PlainCredentials

NAME_CHALLENGE: Final = b"Username:"
PASSWORD_CHALLENGE: Final = b"Password:"


class LoginServer:
    """The server's half: give it the client's answers until there are credentials."""

    def __init__(self) -> None:
        self._name: str | None = None
        self.challenge = NAME_CHALLENGE
        """What to send to the client next."""

    def receive(self, answer: bytes) -> PlainCredentials | None:
        """Take an answer; None means send the next challenge. Raises SaslError for a bad answer."""
        limit = NAME_BYTES_MAX if self._name is None else PASSWORD_BYTES_MAX
        if not answer or len(answer) > limit or b"\0" in answer:
            raise SaslError("an answer is empty, too long or holds NUL")
        try:
            text = answer.decode()
        except UnicodeDecodeError as exc:
            raise SaslError("an answer is not UTF-8") from exc
        if self._name is None:
            self._name = text
            self.challenge = PASSWORD_CHALLENGE
            return None
        return PlainCredentials("", self._name, text)


class LoginClient:
    """The client's half: answers two challenges, whatever they say."""

    def __init__(self, name: str, password: str) -> None:
        self._answers = [password.encode(), name.encode()]

    def answer(self, _challenge: bytes) -> bytes:
        """Return the answer to the next challenge; raise SaslError for a third one."""
        if not self._answers:
            raise SaslError("a challenge too many")
        return self._answers.pop()
