"""A key server with the transit interface: AES-256-GCM, key versions, access tokens, an owner's switch."""

import base64
import json
import os
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import trustme
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class TransitServer:
    """Answers `/v1/transit/{encrypt,decrypt}/NAME` over TLS as the real ones do."""

    def __init__(self) -> None:
        self.token = "hvs.a-token-of-the-test"
        self.refuses = False
        self._ca = trustme.CA()
        self.asked: list[str] = []
        self.seen: list[bytes] = []
        """Every plaintext that went through it."""
        self._keys: dict[str, list[bytes]] = {}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert("127.0.0.1").configure_cert(context)
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = json.loads(self.rfile.read(length))
                status, answer = owner.answer(self.path, self.headers.get("X-Vault-Token", ""), body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's
                return

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                return  # who does not believe the certificate breaks off

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    @property
    def ca_pem(self) -> str:
        """The certificate authority that knows it."""
        return self._ca.cert_pem.bytes().decode("ascii")

    def rotate(self, name: str) -> None:
        """Make a new version of a key; old ciphertexts go on opening."""
        self._keys[name].append(os.urandom(32))

    def delete(self, name: str) -> None:
        """Destroy a key for good."""
        self._keys[name] = []

    def answer(self, path: str, token: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Do what a request asks."""
        self.asked.append(path)
        if token != self.token or self.refuses:
            return 403, {"errors": ["permission denied"]}
        _, _, mount, act, name = path.split("/")
        versions = self._keys.setdefault(name, [os.urandom(32)])
        if mount != "transit" or not versions:
            return 404, {"errors": []}
        if act == "encrypt":
            nonce, plaintext = os.urandom(12), base64.b64decode(body["plaintext"])
            self.seen.append(plaintext)
            sealed = nonce + AESGCM(versions[-1]).encrypt(nonce, plaintext, None)
            return 200, {
                "data": {"ciphertext": f"vault:v{len(versions)}:{base64.b64encode(sealed).decode()}"}
            }
        _, version, text = body["ciphertext"].split(":")
        sealed = base64.b64decode(text)
        plaintext = AESGCM(versions[int(version[1:]) - 1]).decrypt(sealed[:12], sealed[12:], None)
        return 200, {"data": {"plaintext": base64.b64encode(plaintext).decode()}}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
