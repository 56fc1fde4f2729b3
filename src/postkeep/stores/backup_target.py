"""Where backups go: objects by name, in a directory or in a bucket.

Names are ours alone (letters, digits, `-`, `.`, `/`), so that a name never leaves the directory. `put`
replaces as a whole; what has been put is durable after `settle`. `destroy` overwrites before it deletes: on
a disk that writes in place the old octets are gone; a target that keeps versions of deleted objects keeps
them, and `keeps_versions` says so.
"""

import asyncio
import ctypes
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import msgspec

from postkeep.base.errors import InvalidInputError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from obstore.store import ClientConfig

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(/[A-Za-z0-9][A-Za-z0-9.-]*)*\Z", re.ASCII)
NAME_CHARS_MAX: Final = 200
OBJECT_BYTES_MAX: Final = 256 * 1024 * 1024
"""The largest object that is read: the manifest of a very large installation."""
_S3: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([A-Za-z0-9._/-]{0,200}))?\Z", re.ASCII)
VERSIONS_SECONDS: Final = 3.0
"""How long it is believed that a bucket keeps versions: each look leaves two of them behind."""
_UNFINISHED: Final = ".new"
_S3_TIMEOUT: Final = "60s"
_S3_CONNECT_TIMEOUT: Final = "5s"

_libc = ctypes.CDLL(None, use_errno=True)


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file of credentials, TOML: what an S3 server knows us by."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""


class BackupTarget(Protocol):
    """A place for objects."""

    async def put(self, name: str, data: bytes) -> None:
        """Store an object, in place of any of that name."""

    async def get(self, name: str) -> bytes:
        """Return an object; NotFoundError if there is none."""

    def list(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        """Yield name and size of the objects whose names begin with `prefix`, a whole number of parts."""

    async def delete(self, name: str) -> None:
        """Delete an object; no error if there is none."""

    async def destroy(self, name: str) -> None:
        """Overwrite an object and delete it."""

    async def settle(self) -> None:
        """Return once everything put before is durable."""

    async def keeps_versions(self) -> bool:
        """Whether the target is known to keep what is overwritten or deleted."""


def check_name(name: str) -> None:
    """Raise InvalidInputError unless this can be the name of an object."""
    if len(name) > NAME_CHARS_MAX or NAME.match(name) is None or name.endswith(_UNFINISHED):
        raise InvalidInputError("not the name of an object of a backup")


def open_target(
    target: str, *, endpoint: str = "", region: str = "", credentials: bytes = b""
) -> BackupTarget:
    """Return the target that the operator has named: a directory's path, or `s3://bucket/prefix`."""
    if not target.startswith("s3://"):
        return DirectoryTarget(Path(target))
    match = _S3.match(target)
    if match is None:
        raise InvalidInputError(
            code="backup_target",
            public_text=f"{target} is not a target: use a directory or s3://bucket/prefix.",
        )
    try:
        known = msgspec.toml.decode(credentials, type=Credentials) if credentials else None
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise InvalidInputError(
            code="backup_credentials",
            public_text="The file of credentials must hold access_key_id and secret_access_key, as TOML.",
        ) from exc
    return S3Target(match[1], (match[2] or "").strip("/"), endpoint, region, known)


def sync_file_system(directory: Path) -> None:
    """Have everything durable that was written to a directory's file system, with one call (syncfs(2))."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


class DirectoryTarget:
    """Objects as files below a directory, on a disk of its own if it is to survive this one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def put(self, name: str, data: bytes) -> None:
        """Store an object."""
        await asyncio.to_thread(self._put, self._path(name), data)

    async def get(self, name: str) -> bytes:
        """Return an object."""
        return await asyncio.to_thread(self._get, self._path(name))

    async def list(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        """Yield the objects below a directory."""
        check_name(prefix)
        for found in await asyncio.to_thread(lambda: sorted(self._walk(self._directory / prefix))):
            yield found

    async def delete(self, name: str) -> None:
        """Delete an object."""
        await asyncio.to_thread(self._path(name).unlink, missing_ok=True)

    async def destroy(self, name: str) -> None:
        """Overwrite the file in place, durably, and delete it."""
        await asyncio.to_thread(self._destroy, self._path(name))

    async def settle(self) -> None:
        """Have the file system write everything out, with one call."""
        await asyncio.to_thread(self._settle)

    async def keeps_versions(self) -> bool:
        """Return False: snapshots of the file system can't be seen from here."""
        return False

    def _path(self, name: str) -> Path:
        check_name(name)
        return self._directory / name

    def _put(self, path: Path, data: bytes) -> None:
        unfinished = path.with_name(path.name + _UNFINISHED)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            unfinished.rename(path)
        except OSError as exc:
            raise self._away(exc) from exc

    def _get(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(OBJECT_BYTES_MAX)
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise NotFoundError(f"there is no object {path.name}", code="backup_object") from exc
        except OSError as exc:
            raise self._away(exc) from exc

    def _walk(self, directory: Path) -> Iterator[tuple[str, int]]:
        for parent, _, files in os.walk(directory):
            for name in files:
                path = Path(parent) / name
                if not name.endswith(_UNFINISHED):
                    yield path.relative_to(self._directory).as_posix(), path.stat().st_size

    def _destroy(self, path: Path) -> None:
        try:
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
        except FileNotFoundError:
            return
        except OSError as exc:
            raise self._away(exc) from exc

    def _settle(self) -> None:
        try:
            sync_file_system(self._directory)
        except OSError as exc:
            raise self._away(exc) from exc

    def _away(self, exc: OSError) -> UnavailableError:
        return UnavailableError(
            f"the backup target fails: {exc.strerror}",
            code="backup_target",
            public_text=f"The backup target {self._directory} can't be used: {exc.strerror}.",
        )


class S3Target:
    """Objects in a bucket, below a prefix."""

    def __init__(
        self, bucket: str, prefix: str, endpoint: str, region: str, credentials: Credentials | None
    ) -> None:
        from obstore.store import S3Store

        options: dict[str, Any] = {"region": region or "us-east-1"}
        if endpoint:
            options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
        if credentials is not None:
            options["access_key_id"] = credentials.access_key_id
            options["secret_access_key"] = credentials.secret_access_key
            if credentials.session_token:
                options["token"] = credentials.session_token
        client: dict[str, Any] = {"timeout": _S3_TIMEOUT, "connect_timeout": _S3_CONNECT_TIMEOUT}
        if endpoint.startswith("http://"):
            client["allow_http"] = True
        self._name = f"s3://{bucket}"
        self._versions_until = 0.0
        self._store: S3Store = S3Store(
            bucket,
            prefix=prefix or None,
            client_options=cast("ClientConfig", client),
            retry_config={"max_retries": 4, "retry_timeout": _seconds(30)},
            **options,
        )

    async def put(self, name: str, data: bytes) -> None:
        """Store an object, whole."""
        import obstore

        check_name(name)
        with _outage(self._name):
            await obstore.put_async(self._store, name, data, use_multipart=False)

    async def get(self, name: str) -> bytes:
        """Return an object."""
        import obstore

        check_name(name)
        with _outage(self._name):
            found = await obstore.get_async(self._store, name)
            return bytes(await found.bytes_async())

    async def list(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        """Yield the objects below a prefix."""
        import obstore

        check_name(prefix)
        with _outage(self._name):
            async for page in obstore.list(self._store, prefix):
                for entry in page:
                    yield entry["path"], entry["size"]

    async def delete(self, name: str) -> None:
        """Delete an object."""
        import obstore

        check_name(name)
        try:
            with _outage(self._name):
                await obstore.delete_async(self._store, name)
        except NotFoundError:
            return

    async def destroy(self, name: str) -> None:
        """Put zeros over an object, then delete it."""
        import obstore

        check_name(name)
        try:
            with _outage(self._name):
                head = await obstore.head_async(self._store, name)
        except NotFoundError:
            return
        await self.put(name, bytes(head["size"]))
        await self.delete(name)

    async def settle(self) -> None:
        """Return at once: a put is answered when it is durable."""

    async def keeps_versions(self) -> bool:
        """Whether overwriting an object is answered with the number of a version: the bucket keeps them.

        Where versioning was on once and is suspended there is no number, or the word `null`: what is
        overwritten from then on is gone.
        """
        import obstore

        if time.monotonic() < self._versions_until:
            return True
        with _outage(self._name):
            answer = await obstore.put_async(self._store, "probe", b"postkeep", use_multipart=False)
        await self.delete("probe")
        if answer.get("version") in {None, "", "null"}:
            return False
        self._versions_until = time.monotonic() + VERSIONS_SECONDS
        return True


class _outage:  # noqa: N801 - used as a `with` statement, like contextlib's own
    """Turn what the client raises into our errors."""

    def __init__(self, target: str) -> None:
        self._target = target

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        if isinstance(error, FileNotFoundError):
            raise NotFoundError("there is no such object", code="backup_object") from error
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            raise InvalidInputError(
                str(error)[:500],
                code="backup_credentials",
                public_text=f"{self._target} refuses these credentials.",
            ) from error
        if isinstance(error, BaseError | OSError):
            raise UnavailableError(
                str(error)[:500],
                code="backup_target",
                public_text=f"The backup target {self._target} does not answer as it should.",
            ) from error


def _seconds(count: int) -> Any:
    from datetime import timedelta

    return timedelta(seconds=count)
