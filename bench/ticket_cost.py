"""What a ticket check costs: `python bench/ticket_cost.py` prints microseconds, warm and cold.

Warm: the signature was checked before and is remembered; time, audience, holder, trust, revocation and the
rule are checked anew. Cold: the first sight of a ticket, its signature included.
"""

import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postkeep.base.ids import new_id
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.verify import Verifier

WARM_ROUNDS = 50_000
COLD_ROUNDS = 1_000


def measure() -> tuple[float, float]:
    """Return microseconds per check, warm and cold."""
    key = Ed25519PrivateKey.generate()
    anchors = Anchors()
    anchors.trust("authority", key.public_key().public_bytes_raw())
    mint = Mint(key.sign)
    identity = ModuleIdentity("imap", "imap-1.aaaa")
    view = RevocationView()
    view.heard(1)

    def ticket() -> bytes:
        return mint.user(
            "imap",
            "imap-1.aaaa",
            identity.thumbprint,
            tenant=new_id(),
            principal=new_id(),
            session=new_id(),
        )[1]

    verifier = Verifier(anchors)
    tokens = [ticket() for _ in range(COLD_ROUNDS)]
    began = time.perf_counter()
    for token in tokens:
        view.check(verifier.verify(token, audience="vault", holder=identity.thumbprint))
    cold = (time.perf_counter() - began) / COLD_ROUNDS * 1e6
    token = tokens[0]
    began = time.perf_counter()
    for _ in range(WARM_ROUNDS):
        view.check(verifier.verify(token, audience="vault", holder=identity.thumbprint))
    warm = (time.perf_counter() - began) / WARM_ROUNDS * 1e6
    return warm, cold


if __name__ == "__main__":
    print("warm {:.1f} us, cold {:.0f} us".format(*measure()))
