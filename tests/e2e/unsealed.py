"""Run the command line with ciphers that do nothing: proof that a search for readable words finds them.

The parent process is patched before it forks the modules, so that all of them write in the clear. Nothing in
the product can switch sealing off; this works from outside, on the functions themselves.
"""

import cryptography.hazmat.primitives.ciphers.aead as ciphers


class Nothing:
    """AES-GCM's interface over no cipher at all."""

    def __init__(self, key: bytes) -> None:
        del key

    @staticmethod
    def encrypt(nonce: bytes, data: bytes, associated: bytes | None) -> bytes:
        del nonce, associated
        return bytes(data) + bytes(16)

    @staticmethod
    def decrypt(nonce: bytes, data: bytes, associated: bytes | None) -> bytes:
        del nonce, associated
        return bytes(data[:-16])


def main() -> None:
    """Patch, then run."""
    ciphers.AESGCM = Nothing  # type: ignore[assignment]
    from postkeep.node.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
