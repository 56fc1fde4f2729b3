"""The operator's own certificate and key: readable by root alone, and needed by kms, which is not root.

The supervisor copies them into the directory that only kms can enter, at every start.
"""

from pathlib import Path

import msgspec

from postkeep.base.errors import InvalidInputError
from postkeep.node.config import Config
from postkeep.node.rootfiles import replace_file
from postkeep.node.supervisor.layout import Layout
from postkeep.node.supervisor.plan import MODULES


def adopt(layout: Layout, config: Config) -> Config:
    """Return the configuration with paths that kms can read; unchanged where no files are named."""
    if not (config.tls.certificate or config.tls.key):
        return config
    kms = next(module for module in MODULES if module.name == "kms")
    certificate, key = (
        _copy(Path(given), layout.state(kms) / name, layout.uid(kms))
        for given, name in ((config.tls.certificate, "own-certificate.pem"), (config.tls.key, "own-key.pem"))
    )
    return msgspec.structs.replace(
        config, tls=msgspec.structs.replace(config.tls, certificate=str(certificate), key=str(key))
    )


def _copy(source: Path, target: Path, uid: int | None) -> Path:
    try:
        content = source.read_bytes()
    except OSError as exc:
        raise InvalidInputError(
            public_text=f"{source} (under [tls] in the configuration) can't be read: {exc.strerror}."
        ) from exc
    replace_file(target, content, mode=0o600, owner=uid)
    return target
