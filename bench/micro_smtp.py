"""CPU of the SMTP server core alone, per message: `python bench/micro_smtp.py [octets] [messages]`.

Prints microseconds for a message that is sent with DATA in two network reads, with pipelined commands in
two more, and the same with BDAT. No sockets, no TLS, no delivery.
"""

import sys
import time

from postkeep.protocols.smtp import replies
from postkeep.protocols.smtp.server import ServerConnection, ServerSettings

SETTINGS = ServerSettings("mx.example.org", 50 * 1024 * 1024, 1000, starttls=True)
LINE = b"The quick brown fox jumps over the lazy dog and runs away from it.\r\n"


def drain(connection: ServerConnection) -> None:
    while connection.next_event() is not None:
        if connection.waiting:
            connection.answer(replies.OK)
    connection.take_output()


def measure(reads: list[bytes], messages: int) -> float:
    start = time.process_time()
    done = 0
    while done < messages:
        connection = ServerConnection(SETTINGS)
        connection.greet()
        connection.receive(b"EHLO client.example.com\r\n")
        drain(connection)
        for _ in range(min(500, messages - done)):
            for read in reads:
                connection.receive(read)
                drain(connection)
            done += 1
    return (time.process_time() - start) / messages * 1e6


def main() -> None:
    octets = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    messages = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    body = LINE * (octets // len(LINE))
    envelope = b"MAIL FROM:<alice@example.com> SIZE=4096\r\nRCPT TO:<bob@example.org>\r\n"
    half = len(body) // 2
    dots = body[:half] + b"\r\n..dot" + body[half:]
    for name, reads in {
        "DATA": [envelope + b"DATA\r\n", body[:half], body[half:] + b".\r\n"],
        "DATA with dots": [envelope + b"DATA\r\n", dots[:half], dots[half:] + b".\r\n"],
        "BDAT": [envelope + b"BDAT %d LAST\r\n" % len(body) + body[:half], body[half:]],
        "one command a read": [*envelope.splitlines(keepends=True), b"DATA\r\n", body + b".\r\n"],
    }.items():
        print(f"{name:20} {measure(reads, messages):7.1f} us/message of {len(body)} octets")


if __name__ == "__main__":
    main()
