"""Many clients of one person idle at the workers of a node, half of them compressed: all hear of a message,
and come back after the node has been stopped; the limits of the configuration hold."""

import smtplib
import socket
import ssl
import zlib
from contextlib import ExitStack

import pytest
from tests.node_process import Node, new_node

pytestmark = pytest.mark.e2e

USER, PASSWORD = "ida@idle.example", "waits and waits"
CLIENTS = 24
CONFIG = "[node]\nworkers = 2\n[imap]\nconnections_per_person_max = 24\nstrangers_per_network_max = 3\n"
WAIT_SECONDS = 20.0


class Idler:
    """One client, by hand: TLS, lines, and COMPRESS where it is wanted."""

    def __init__(self, node: Node, *, compress: bool) -> None:
        sock = socket.create_connection(("127.0.0.1", node.ports["imaps"]), WAIT_SECONDS)
        context = ssl.create_default_context(cafile=node.ca)
        self._sock = context.wrap_socket(sock, server_hostname="localhost")
        self._out, self._in = zlib.compressobj(wbits=-15), zlib.decompressobj(-15)
        self._compressed = False
        self._rest = b""
        self.until(b"* OK")
        self.command(f'LOGIN {USER} "{PASSWORD}"')
        if compress:
            self.command("COMPRESS DEFLATE")
            self._compressed = True
        self.command("SELECT INBOX")
        self.say("i IDLE")
        self.until(b"+ ")

    def say(self, line: str) -> None:
        data = line.encode() + b"\r\n"
        if self._compressed:
            data = self._out.compress(data) + self._out.flush(zlib.Z_SYNC_FLUSH)
        self._sock.sendall(data)

    def command(self, line: str) -> None:
        self.say(f"t {line}")
        assert self.until(b"t ").startswith(b"t OK")

    def until(self, beginning: bytes) -> bytes:
        """Read up to a line that begins so."""
        while True:
            line, found, rest = self._rest.partition(b"\r\n")
            if not found:
                data = self._sock.recv(65_536)
                assert data, "closed"
                self._rest += self._in.decompress(data) if self._compressed else data
                continue
            self._rest = rest
            if line.startswith(beginning):
                return line

    def close(self) -> None:
        self._sock.close()


def idlers(node: Node, stack: ExitStack) -> list[Idler]:
    clients = [Idler(node, compress=number % 2 == 1) for number in range(CLIENTS)]
    for client in clients:
        stack.callback(client.close)
    return clients


def deliver(node: Node) -> None:
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=WAIT_SECONDS) as sender:
        sender.sendmail("s@elsewhere.example", [USER], b"Subject: wake up\r\n\r\nnow\r\n")


def test_all_who_idle_hear_of_a_message_and_come_back_after_a_stop() -> None:
    with new_node(config=CONFIG) as node:
        node.tenant("idle.example")
        node.user(USER, PASSWORD)
        for number in (1, 2):
            with ExitStack() as stack:
                clients = idlers(node, stack)
                deliver(node)
                for client in clients:
                    client.until(b"* %d EXISTS" % number)
                for client in clients:
                    client.say("DONE")
                    client.until(b"i OK")
                if number == 1:
                    node.stop()
                    for client in clients:
                        client.until(b"* BYE")
            if number == 1:
                node.start()
        with ExitStack() as stack:
            silent = [socket.create_connection(("127.0.0.1", node.ports["imap"])) for _ in range(12)]
            for sock in silent:
                stack.callback(sock.close)
                sock.settimeout(WAIT_SECONDS)
            greetings = [sock.recv(200)[:5] for sock in silent]
            assert greetings.count(b"* BYE") >= 12 - 3 * 2  # three for each of the two workers
            assert b"* OK " in greetings
