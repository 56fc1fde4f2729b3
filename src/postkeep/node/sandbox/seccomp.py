"""A seccomp filter: the system calls that no module ever needs fail with EPERM.

It names what is forbidden, not what is allowed: an interpreter's needs change with every release of it,
while starting programs, tracing processes, mounting and loading code into the kernel stay foreign to a
mail server. Source: seccomp(2), include/uapi/linux/{seccomp,filter,audit}.h.
"""

import ctypes
import errno
import platform
import struct
from typing import Final

from postkeep.node.sandbox.libc import PR_SET_SECCOMP, prctl

_MODE_FILTER: Final = 2
_KILL_PROCESS: Final = 0x80000000
_ALLOW: Final = 0x7FFF0000
_DENY: Final = 0x00050000 | errno.EPERM
_NO_SUCH_CALL: Final = 0x00050000 | errno.ENOSYS

_LOAD_WORD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_JUMP_GREATER_EQUAL: Final = 0x35
_RETURN: Final = 0x06
_OFFSET_NUMBER: Final = 0
_OFFSET_ARCHITECTURE: Final = 4
_X32_BIT: Final = 0x40000000

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# execve, execveat, ptrace, process_vm_readv, process_vm_writev, kcmp, bpf, perf_event_open, userfaultfd,
# init_module, finit_module, delete_module, kexec_load, kexec_file_load, mount, umount2, pivot_root, chroot,
# setns, unshare, add_key, request_key, keyctl, reboot, swapon, swapoff, acct, quotactl, open_by_handle_at,
# personality, pidfd_getfd, move_mount, fsopen, open_tree
_DENIED: Final = {
    "x86_64": (
        *(59, 322, 101, 310, 311, 312, 321, 298, 323, 175, 313, 176, 246, 320, 165, 166, 155, 161, 308, 272),
        *(248, 249, 250, 169, 167, 168, 163, 179, 304, 135, 438, 429, 430, 428),
    ),
    "aarch64": (
        *(221, 281, 117, 270, 271, 272, 280, 241, 282, 105, 273, 106, 104, 294, 40, 39, 41, 51, 268, 97),
        *(217, 218, 219, 142, 224, 225, 89, 60, 265, 92, 438, 429, 430, 428),
    ),
}
_IO_URING: Final = (425, 426, 427)
"""A second way to most system calls, past this filter; the event loop does without where it is missing."""


def program(machine: str) -> bytes | None:
    """Return the filter as BPF instructions for a machine type; None where we have no table for it."""
    if machine not in _ARCHITECTURES:
        return None
    denied, absent = _DENIED[machine], _IO_URING
    steps: list[tuple[int, int, int, int]] = [
        (_LOAD_WORD, 0, 0, _OFFSET_ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD_WORD, 0, 0, _OFFSET_NUMBER),
    ]
    checks: list[tuple[int, int, int]] = []  # jump, value, verdict (0: deny, 1: no such call)
    if machine == "x86_64":
        checks.append((_JUMP_GREATER_EQUAL, _X32_BIT, 0))
    checks += [(_JUMP_EQUAL, number, 0) for number in denied]
    checks += [(_JUMP_EQUAL, number, 1) for number in absent]
    for position, (jump, value, verdict) in enumerate(checks):
        remaining = len(checks) - position - 1  # then: allow, deny, no such call
        steps.append((jump, remaining + 1 + verdict, 0, value))
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY), (_RETURN, 0, 0, _NO_SUCH_CALL)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def install() -> bool:
    """Filter this process from now on (needs no-new-privileges); False where the platform can't."""
    code = program(platform.machine())
    if code is None:
        return False
    instructions = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))
    try:
        prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(header), 0, 0)
    except OSError:
        return False
    return True
