"""A real S3 server for tests: SeaweedFS, in a directory and on ports of its own."""

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store
from tests.node_process import free_base_port

WEED = Path(sys.executable).parent / "weed"
READY_SECONDS = 90.0
"""The server looks for others of its kind for some twenty seconds before it answers."""
BUCKET = "backups"


@dataclass(frozen=True)
class Bucket:
    """Where it is and how to come in."""

    endpoint: str
    credentials: Path

    @property
    def access(self) -> str:
        """What a configuration says to come in, and to make no backups."""
        return f'[backup]\nendpoint = "{self.endpoint}"\ncredentials = "{self.credentials}"\n'

    @property
    def section(self) -> str:
        """The section of a node that makes backups."""
        return f'{self.access}target = "s3://{BUCKET}/node"\n'


@contextlib.contextmanager
def s3_bucket() -> Iterator[Bucket]:
    """Start a server with one empty bucket, and end it."""
    directory = Path(tempfile.mkdtemp(prefix="pk3-", dir="/tmp"))
    directory.chmod(0o711)
    (directory / "s3.json").write_text(
        '{"identities":[{"name":"pk","credentials":[{"accessKey":"AKPOSTKEEP","secretKey":"only-for-tests"}],'
        '"actions":["Admin","Read","Write","List","Tagging"]}]}'
    )
    credentials = directory / "credentials"
    credentials.write_text('access_key_id = "AKPOSTKEEP"\nsecret_access_key = "only-for-tests"\n')
    credentials.chmod(0o600)
    base = free_base_port()
    ports = {"master.port": base, "volume.port": base + 1, "filer.port": base + 2, "s3.port": base + 3}
    grpc = {"master.port.grpc": base + 4, "volume.port.grpc": base + 5, "filer.port.grpc": base + 6}
    others = {"s3.port.grpc": base + 7, "s3.port.iceberg": 0, "s3.port.lance": 0}
    options = [f"-{name}={port}" for name, port in (ports | grpc | others).items()]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(WEED), "-logtostderr=true", "server", f"-dir={directory}", "-ip=127.0.0.1"),
                *("-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.config={directory / 's3.json'}"),
                *("-master.volumeSizeLimitMB=64", "-volume.max=50", *options),
            ],
            stdout=log,
            stderr=log,
            cwd=directory,
        )
    try:
        bucket = Bucket(f"http://127.0.0.1:{ports['s3.port']}", credentials)
        _wait(bucket, process, directory / "log")
        yield bucket
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _wait(bucket: Bucket, process: "subprocess.Popen[bytes]", log: Path) -> None:
    store = S3Store(
        BUCKET,
        endpoint=bucket.endpoint,
        access_key_id="AKPOSTKEEP",
        secret_access_key="only-for-tests",
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            obstore.put(store, "ready", b"x", use_multipart=False)  # this server makes the bucket with it
            obstore.delete(store, "ready")
        except (BaseError, OSError):
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.3)
        else:
            return
