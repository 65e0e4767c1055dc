"""
A bundle: the snapshot of a function's folder, one tar.gz named by the SHA-256 of its bytes.

Packing is deterministic: the same files give the same digest on any machine, whatever their order,
owner, times or umask. What is left out: version control, caches and virtual environments (ALWAYS_SKIPPED),
and what the lines of `.funcignore` and `.gitignore` at the folder's top match. Those lines are read simply:
`name`, `*.log` and `**/name` match at any depth, `/name` and `a/b` from the top, a trailing `/` only
folders, `!` takes back, and the last line that matches decides.

Unpacking trusts nobody: no absolute path, no `..`, no device, no link that leaves the bundle, nothing
that grows without bound; it appears at its place whole or not at all.
"""

import contextlib
import gzip
import hashlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import redis.asyncio

from eventing import keys
from eventing.errors import NotFound, Rejected, TooLarge, UsageError

# Code, not data: AWS Lambda takes 50 MB zipped, and Redis holds every bundle in memory.
LIMIT_BYTES = 32 * 1024 * 1024
# A tar.gz may unpack to a thousand times its size; code compresses about four times.
UNPACKED_LIMIT_BYTES = 8 * LIMIT_BYTES
FILES_LIMIT = 20_000

ALWAYS_SKIPPED = (".git", ".hg", ".svn", ".clarion", ".func", "__pycache__", "*.pyc", ".venv", "venv",
                  ".tox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".DS_Store")
_IGNORE_FILES = (".funcignore", ".gitignore")
_BIGGEST_SHOWN = 3
_MTIME = 315_532_800  # 1980-01-01, the earliest that zip-minded tools take; 0 upsets some of them
_COPY_BYTES = 1024 * 1024


class BundleInvalid(Rejected):
    """Not a bundle, or one that would write outside its folder; the message names the member."""


def pack(folder: Path) -> bytes:
    """
    The bundle of *folder*.

    Raises:
        UsageError: it is no folder, holds nothing, or links out of itself.
        TooLarge: more than LIMIT_BYTES; names the biggest files.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; a function's code is a folder with func.py in it")
    found = list(files(folder))
    if not found:
        raise UsageError(f"{folder}: nothing to pack; put a func.py there")
    _refuse_big(found, sum(path.lstat().st_size for path in found), UNPACKED_LIMIT_BYTES, folder)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in found:
            _add(archive, path, folder)
    packed = gzip.compress(plain.getvalue(), compresslevel=6, mtime=0)
    _refuse_big(found, len(packed), LIMIT_BYTES, folder)
    return packed


def files(folder: Path) -> Iterator[Path]:
    """Every file and symbolic link of *folder* that its bundle has, in the bundle's order."""
    return _files(folder, folder, _patterns(folder))


def digest(data: bytes) -> str:
    """SHA-256 of a bundle, in hex: its name everywhere."""
    return hashlib.sha256(data).hexdigest()


def _patterns(folder: Path) -> list[str]:
    found = list(ALWAYS_SKIPPED)
    for name in _IGNORE_FILES:
        with contextlib.suppress(FileNotFoundError):
            lines = (folder / name).read_text("utf-8").splitlines()
            found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return found


def ignored(path: str, patterns: list[str], *, is_folder: bool) -> bool:
    """Do the *patterns* leave out *path*, relative to the bundle's top with `/` between its parts?"""
    is_ignored = False
    for pattern in patterns:
        if pattern.endswith("/") and not is_folder:
            continue
        plain = pattern.removeprefix("!").rstrip("/").removeprefix("**/")
        if fnmatchcase(path if "/" in plain else PurePosixPath(path).name, plain.lstrip("/")):
            is_ignored = not pattern.startswith("!")
    return is_ignored


def _files(folder: Path, top: Path, patterns: list[str]) -> Iterator[Path]:
    """Files and symbolic links below *folder*, in the order of their bytes."""
    for path in sorted(folder.iterdir(), key=lambda entry: os.fsencode(entry.name)):
        is_folder = path.is_dir() and not path.is_symlink()
        if ignored(path.relative_to(top).as_posix(), patterns, is_folder=is_folder):
            continue
        if is_folder:
            yield from _files(path, top, patterns)
        elif path.is_symlink() or path.is_file():  # a socket or a pipe is no code
            yield path


def _add(archive: tarfile.TarFile, path: Path, top: Path) -> None:
    name = path.relative_to(top).as_posix()
    member = tarfile.TarInfo(name)
    member.mtime = _MTIME
    if path.is_symlink():
        member.type, member.linkname = tarfile.SYMTYPE, str(path.readlink())
        if not _stays_inside(name, member.linkname):
            raise UsageError(f"{path}: links to {member.linkname}, outside of the folder that is packed")
        archive.addfile(member)
        return
    data = path.read_bytes()
    member.size = len(data)
    member.mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
    archive.addfile(member, io.BytesIO(data))


def _refuse_big(files: list[Path], size_bytes: int, limit_bytes: int, folder: Path) -> None:
    if size_bytes <= limit_bytes:
        return
    biggest = sorted(files, key=lambda path: -path.lstat().st_size)[:_BIGGEST_SHOWN]
    named = ", ".join(f"{path.relative_to(folder)} ({path.lstat().st_size / 1e6:.1f} MB)" for path in biggest)
    raise TooLarge(f"{folder}: a bundle of {size_bytes / 1e6:.1f} MB, over the {limit_bytes / 1e6:.1f} MB "
                   f"limit; the biggest files: {named}; name what is not code in .funcignore")


def _stays_inside(name: str, link: str) -> bool:
    """Does a symbolic link at *name* that reads *link* point into the bundle?"""
    if link.startswith("/"):
        return False
    depth = len(PurePosixPath(name).parts) - 1
    for part in PurePosixPath(link).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return False
    return True


def check_member(member: tarfile.TarInfo) -> None:
    """
    Refuse a *member* that is not a plain file, folder or link inside the bundle.

    Raises:
        BundleInvalid: naming it.
    """
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\0" in member.name:
        raise BundleInvalid(f"bundle member {member.name!r}: leads out of the bundle")
    if member.issym():
        if not _stays_inside(member.name, member.linkname):
            raise BundleInvalid(f"bundle member {member.name!r}: links out of it, to {member.linkname!r}")
    elif not (member.isreg() or member.isdir()):
        raise BundleInvalid(f"bundle member {member.name!r}: neither file, folder nor symbolic link")


def unpack(data: bytes, place: Path) -> None:
    """
    Unpack *data* so that *place* is the bundle's folder; a *place* that exists is kept as it is.

    Raises:
        BundleInvalid: the data is no tar.gz, or a member is not what a bundle may hold.
        OSError: the disk says no.
    """
    if place.is_dir():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=place.parent))
    try:
        _extract(data, fresh)
        fresh.chmod(0o755)
        try:
            fresh.rename(place)
        except OSError:
            if not place.is_dir():  # else somebody was faster, with the same content
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _extract(data: bytes, folder: Path) -> None:
    left_bytes, left_files = UNPACKED_LIMIT_BYTES, FILES_LIMIT
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r|gz") as archive:
            for member in archive:
                check_member(member)
                left_bytes, left_files = left_bytes - member.size, left_files - 1
                if left_bytes < 0 or left_files < 0:
                    raise BundleInvalid(f"bundle unpacks to more than {UNPACKED_LIMIT_BYTES} bytes "
                                        f"or {FILES_LIMIT} files")
                _write(archive, member, folder)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
        raise BundleInvalid(f"not a bundle (tar.gz): {error}") from error


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    path = folder / member.name
    # A link was written before? Then nothing may be written through it.
    if path.parent.resolve() != (folder.resolve() / member.name).parent or path.is_symlink():
        raise BundleInvalid(f"bundle member {member.name!r}: would be written through a link")
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
        return
    source = archive.extractfile(member)
    if source is None:
        raise BundleInvalid(f"bundle member {member.name!r}: has no content")
    with path.open("wb") as target:
        shutil.copyfileobj(source, target, _COPY_BYTES)
    path.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)
    os.utime(path, (_MTIME, _MTIME))


async def put(store: redis.asyncio.Redis, name: str, data: bytes) -> None:
    """
    Keep *data* as the bundle *name* (64 hex digits).

    Raises:
        TooLarge: over LIMIT_BYTES.
        BundleInvalid: *name* is not its digest.
    """
    if len(data) > LIMIT_BYTES:
        raise TooLarge(f"a bundle of {len(data)} bytes, the limit is {LIMIT_BYTES}")
    if digest(data) != name:
        raise BundleInvalid(f"the bundle's SHA-256 is {digest(data)}, not {name}")
    await store.set(keys.bundle(name), data, nx=True)
    await store.touch(keys.bundle(name))  # it is wanted now, though it may have been there for long


async def get(store: redis.asyncio.Redis, name: str) -> bytes:
    """
    The bundle *name*, as it was put.

    Raises:
        NotFound: there is none, so `clarion apply` or `clarion func deploy` has to bring it.
        BundleInvalid: what is stored is something else.
    """
    data = await store.get(keys.bundle(name))
    if not isinstance(data, bytes):
        raise NotFound(f"bundle sha256:{name} is not in the store; apply its folder again (clarion apply)")
    if digest(data) != name:
        raise BundleInvalid(f"bundle sha256:{name} is damaged in the store; apply its folder again")
    return data
