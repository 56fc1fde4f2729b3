"""Import everything once, before forking: the processes share that memory, and need no disk for it later."""

import gc
import importlib
import pkgutil
from typing import Final

from postkeep.base.errors import PostkeepError
from postkeep.node.supervisor.plan import Slot

_LAZY_ELSEWHERE: Final = (
    # What libraries import only when they need it: a module's user may not be able to read it by then.
    *("encodings.idna", "encodings.punycode", "encodings.utf_8", "encodings.latin_1", "encodings.utf_7"),
    *("dns.rdtypes.ANY", "dns.rdtypes.IN", "asyncpg.protocol.protocol", "uvloop.loop"),
    *("cryptography.hazmat.primitives.serialization", "cryptography.x509"),
    "cryptography.hazmat.backends.openssl.backend",  # at the first key that each process makes
)


class WiringError(PostkeepError):
    """A module can't be put together."""

    code = "wiring"


def preload(slots: tuple[Slot, ...]) -> None:
    """Import the wiring of every module and so all it is made of; raise WiringError naming a missing one."""
    for name in _LAZY_ELSEWHERE:
        package = importlib.import_module(name)
        for found in pkgutil.iter_modules(getattr(package, "__path__", ()), name + "."):
            if name.startswith("dns."):
                importlib.import_module(found.name)
    for name in dict.fromkeys(slot.module.name for slot in slots):
        wiring = f"postkeep.node.wiring.{name}"
        try:
            importlib.import_module(wiring)
        except ModuleNotFoundError as exc:
            if exc.name is None or not wiring.startswith(exc.name):
                raise
            raise WiringError(public_text=f"The module {name} is missing: there is no {wiring}.") from exc
    gc.collect()
    gc.freeze()  # a collection must not touch, and so copy, the pages that all processes share
