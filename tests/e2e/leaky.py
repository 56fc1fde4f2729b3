"""Run the command line with a supervisor that lets one-time enrolment secrets get out.

It tells the authority to expect two more instances of mx under the test's own user id: one as the process
that it has forked for mx, one as the process in `LEAK_PID`. Both secrets lie where the test finds them.
"""

import hashlib
import os
import secrets

from postkeep.node.supervisor import frames
from postkeep.node.supervisor.loop import Supervisor
from postkeep.node.supervisor.spawn import Process


def leak(supervisor: Supervisor, process: Process) -> None:
    """Expect the two, once the genuine instance has been introduced."""
    introduce(supervisor, process)
    authority = next(p for p in supervisor.processes if p.slot.module.name == "authority")
    if process.slot.name != "mx-0":
        return
    for instance, pid in (("mx-8.stolen", process.pid), ("mx-9.own", int(os.environ["LEAK_PID"]))):
        secret = secrets.token_bytes(32)
        digest = hashlib.sha256(secret).digest()
        authority.send(frames.Expect("mx", instance, digest, os.getuid(), pid))
        (supervisor.layout.data / instance).write_text(secret.hex())


introduce = Supervisor._let_enrol


def main() -> None:
    """Patch, then run."""
    Supervisor._let_enrol = leak  # type: ignore[method-assign, assignment]
    from postkeep.node.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
