"""SoftHSM tokens in a directory of the test's own, by way of the programs that come with it."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
SO_PIN = "87654321"


@dataclass(frozen=True)
class SoftHsm:
    """A place for tokens. The module finds it by SOFTHSM2_CONF."""

    directory: Path

    @property
    def tokens(self) -> Path:
        """Where the tokens lie."""
        return self.directory / "tokens"

    @property
    def conf(self) -> Path:
        """The module's configuration."""
        return self.directory / "softhsm2.conf"

    def make(self) -> "SoftHsm":
        """Make the place, reachable for every user."""
        self.tokens.mkdir(parents=True)
        self.directory.chmod(0o755)
        self.conf.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\n")
        self.conf.chmod(0o644)
        return self

    def token(self, label: str, pin: str, uid: int | None = None) -> None:
        """Make a token; it and the place belong to `uid` from then on."""
        self._run("--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", pin)
        if uid is not None:
            for path in (self.tokens, *self.tokens.rglob("*")):
                os.chown(path, uid, uid)

    def change_pin(self, label: str, old: str, new: str) -> None:
        """Give a token another PIN, as its owner does."""
        code = (
            "import pkcs11,sys;m,l,o,n=sys.argv[1:];"
            "s=pkcs11.lib(m).get_token(token_label=l).open(rw=True,user_pin=o);s.set_pin(o,n)"
        )
        self._python(code, str(MODULE), label, old, new)

    def delete_key(self, label: str, pin: str, key_label: str) -> None:
        """Delete a key in a token, as its owner does."""
        code = (
            "import pkcs11,sys;m,l,p,k=sys.argv[1:];"
            "s=pkcs11.lib(m).get_token(token_label=l).open(rw=True,user_pin=p);s.get_key(label=k).destroy()"
        )
        self._python(code, str(MODULE), label, pin, key_label)

    def remove(self) -> None:
        """Take all tokens away."""
        shutil.rmtree(self.tokens)
        self.tokens.mkdir()

    @property
    def env(self) -> dict[str, str]:
        """The environment in which the module finds the tokens."""
        return {**os.environ, "SOFTHSM2_CONF": str(self.conf)}

    def _run(self, *arguments: str) -> None:
        subprocess.run(["softhsm2-util", *arguments], env=self.env, check=True, capture_output=True)

    def _python(self, code: str, *arguments: str) -> None:
        subprocess.run([sys.executable, "-c", code, *arguments], env=self.env, check=True)
