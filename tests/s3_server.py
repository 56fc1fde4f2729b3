"""A real S3 server for tests: SeaweedFS, in a directory and on ports of its own."""

import contextlib
import hashlib
import hmac
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as ET

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store
from tests.node_process import free_base_port

WEED = Path(sys.executable).parent / "weed"
READY_SECONDS = 90.0
"""The server looks for others of its kind for some twenty seconds before it answers."""
BUCKET = "backups"
ACCESS, SECRET = "AKPOSTKEEP", "only-for-tests"


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

    def set_versioning(self, status: str) -> None:
        """Have the bucket keep versions (`Enabled`), or no more (`Suspended`)."""
        body = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>"
        self._ask("PUT", "versioning=", body.encode())

    def versions(self, prefix: str) -> list[tuple[str, int]]:
        """Return name and size of every version below a prefix; marks of deletion are none."""
        tree = ET.fromstring(self._ask("GET", f"prefix={quote(prefix, safe='')}&versions=", b""))
        found = [node for node in tree if node.tag.rpartition("}")[2] == "Version"]
        texts = [{field.tag.rpartition("}")[2]: field.text or "" for field in node} for node in found]
        return [(text["Key"], int(text["Size"])) for text in texts]

    def _ask(self, method: str, query: str, body: bytes) -> bytes:
        """Ask what the client library has no call for, signed (AWS Signature Version 4)."""
        host, path = self.endpoint.removeprefix("http://"), f"/{BUCKET}"
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        heads = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now}
        names = ";".join(heads)
        lines = [
            method,
            path,
            query,
            *(f"{name}:{value}" for name, value in heads.items()),
            "",
            names,
            digest,
        ]
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        canonical = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        key = b"AWS4" + SECRET.encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{canonical}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        credential = f"Credential={ACCESS}/{scope}, SignedHeaders={names}, Signature={signature}"
        connection = HTTPConnection(host, timeout=30)
        with contextlib.closing(connection):
            given = heads | {"Authorization": f"AWS4-HMAC-SHA256 {credential}"}
            connection.request(method, f"{path}?{query}", body, given)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            return answer.read()


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
        access_key_id=ACCESS,
        secret_access_key=SECRET,
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
