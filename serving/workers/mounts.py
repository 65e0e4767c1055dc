"""
A mount namespace of its own for a worker with volumes: what is mounted there, nobody else sees.

    the role is root's      a mount namespace
    a user's                a user namespace besides, in which the worker is who it was; what it could do
                            there and not outside, it gives up once all is mounted

Nothing is made on the machine. Where a mountPath does not exist, a tmpfs takes the place of the nearest
directory that does, with all that was there bound again in it: what the worker writes further down goes
where it always did, and only a new name in that very directory is its own, and goes with it. An overlay
would be one mount in place of one for each name; but sockets, and what is mounted below, do not show through
it, and every write would be its own. The kernel takes all of it away with the namespace's last process.

What Python and the function are loaded from stays where a volume would hide it. Where the files of a volume
come from is not known here (volumes.py). It is done once, soon after the fork, while there is one thread: to
others a user namespace is refused.
"""

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

# <sched.h>, <sys/mount.h>, <linux/capability.h>
_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _MOVE, _REC = 1, 2, 4, 32, 4096, 8192, 16384
_UNBINDABLE, _PRIVATE = 1 << 17, 1 << 18
_LOCKED = 2 | 4 | 8 | 1024 | 2048  # nosuid .. nodiratime: not a user's to take away
_CAPABILITIES_3 = 0x20080522

_SCAFFOLD = "size=64m,nr_inodes=65536"  # a directory in which a mountPath is made
_ANYBODY = 0o777  # Kubernetes' mode for an emptyDir
_CROWD = 10_000  # names in such a directory, each of which is a mount; Linux allows 100,000 in a namespace
# What may keep a process from mounting: setting, the value that does, one that does not, whether root, too.
_SETTINGS = (("user.max_mnt_namespaces", "0", "10000", True),
             ("user.max_user_namespaces", "0", "10000", False),
             ("kernel.unprivileged_userns_clone", "0", "1", False),
             ("kernel.apparmor_restrict_unprivileged_userns", "1", "0", False))
_LIBC = ctypes.CDLL(None, use_errno=True)


class MountFailed(Exception):
    """A volume cannot be where it should; says which, and what to do, in one line."""


class _Refused(OSError):
    """The kernel does not let us."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to mount; travels to the worker within its Spec. All paths are absolute."""

    stage: str  # an empty directory
    scratch: str  # a directory with one for each emptyDir; only what is below may be written
    memory: Mapping[str, int | None]  # those of them that are in memory, and how many bytes each may have
    binds: Sequence[tuple[str, str, bool]]  # from where, to which mountPath, whether it is read-only


def enter(plan: Plan, needed: Iterable[str]) -> None:
    """
    Have what *plan* says in a namespace of this process's own; directories *needed* stay where they are.

    Raises:
        MountFailed: it cannot be had.
    """
    what = "volumes"
    try:
        _unshare()
        _mount("none", "/", flags=_REC | _PRIVATE)
        for what, size_bytes in plan.memory.items():
            _mount("tmpfs", what, "tmpfs", _NOSUID | _NODEV, f"mode=0777,size={size_bytes or '50%'}")
        mounts = []
        for source, what, is_read_only in plan.binds:
            mounts.append((os.path.realpath(what), _opened(source, plan.scratch), is_read_only))
        kept = covered(filter(os.path.exists, needed), [path for path, _, _ in mounts])
        mounts += [(path, os.open(path, os.O_PATH), False) for path in kept]
        scaffolds = _Scaffolds(plan.stage, [path for path, _, _ in mounts])
        for what, descriptor, is_read_only in sorted(mounts, key=lambda mount: mount[0].count("/")):
            scaffolds.make(what, is_folder=stat.S_ISDIR(os.fstat(descriptor).st_mode))
            _bind(f"/proc/self/fd/{descriptor}", what, is_read_only=is_read_only)
            os.close(descriptor)
            scaffolds.mounted(what, is_writable=not is_read_only and what not in kept)
        if os.geteuid() != 0:
            _give_up_capabilities()
    except OSError as error:
        hint = _hint(error) if isinstance(error, _Refused) else ""
        raise MountFailed(f"cannot mount {what}: {os.strerror(error.errno or 0)}{hint}") from error


def join(pid: int) -> None:
    """
    Have what process *pid* has: for a command that is run beside a worker (inside.py).

    Raises:
        MountFailed: it is gone, or has nothing of its own.
    """
    kinds = {"mnt": _NEWNS} if os.geteuid() == 0 else {"user": _NEWUSER, "mnt": _NEWNS}
    try:
        opened = {kind: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name, kind in kinds.items()}
        for kind, descriptor in opened.items():
            _ask(_LIBC.setns(descriptor, kind))
            os.close(descriptor)
        if os.geteuid() != 0:
            _give_up_capabilities()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise MountFailed(f"cannot see the volumes of process {pid}: {why}") from error


def covered(needed: Iterable[str], targets: Iterable[str]) -> list[str]:
    """Those of the paths *needed* that a mount at one of *targets* would hide; not what is below them."""
    tops = {PurePath(target) for target in targets}
    found = (PurePath(os.path.realpath(path)) for path in needed)
    hidden = {path for path in found if tops.intersection(path.parents)}
    return sorted(str(path) for path in hidden if not hidden.intersection(path.parents))


class _Scaffolds:
    """Where a mountPath can be made: the directories that are this namespace's own."""

    def __init__(self, stage: str, targets: Iterable[str]) -> None:
        """Have a root of our own if one of *targets* needs it, before anything hides the *stage*."""
        self._devices: set[int] = set()
        self._mounted: dict[PurePath, bool] = {}  # whether it may be written
        if any(not os.path.lexists(f"/{PurePath(target).parts[1]}") for target in targets):
            about = Path("/").stat()
            _mount("tmpfs", stage, "tmpfs", _NODEV, _SCAFFOLD)
            _mount("none", stage, flags=_UNBINDABLE)  # as it is below one of the directories that come in
            self._fill(Path("/"), Path(stage), about)
            os.chdir(stage)
            _mount("none", ".", flags=_PRIVATE)
            _mount(".", "/", flags=_MOVE)
            os.chroot(".")
            os.chdir("/")

    def make(self, path: str, *, is_folder: bool) -> None:
        """See to it that there is a directory, or a file, at *path*."""
        if os.path.lexists(path):
            if Path(path).is_dir() != is_folder:
                kind = "file" if is_folder else "directory"
                raise MountFailed(f"cannot mount {path}: that is a {kind} here, which the volume has not")
            return
        parent = next(above for above in Path(path).parents if above.is_dir())
        around = [place for place in self._mounted if parent == place or place in parent.parents]
        innermost = max(around, key=lambda place: len(place.parts), default=None)
        is_ours = parent.stat().st_dev in self._devices
        if not is_ours and (innermost is None or not self._mounted[innermost]):
            self._cover(parent)
        place = Path(path)
        (place if is_folder else place.parent).mkdir(parents=True, exist_ok=True)
        if not is_folder:
            place.touch()

    def mounted(self, path: str, *, is_writable: bool) -> None:
        """Something is mounted at *path*, and may be written by the worker alone."""
        self._mounted[PurePath(path)] = is_writable

    def _cover(self, parent: Path) -> None:
        about = parent.stat()
        original = os.open(parent, os.O_PATH | os.O_DIRECTORY)
        _mount("tmpfs", str(parent), "tmpfs", _NODEV, _SCAFFOLD)
        self._fill(Path(f"/proc/self/fd/{original}"), parent, about)
        os.close(original)

    def _fill(self, source: Path, place: Path, about: os.stat_result) -> None:
        """Bind in *place*, a new tmpfs, all that is in *source*, a directory which was like *about*."""
        found = list(source.iterdir())
        if len(found) > _CROWD:
            raise MountFailed(f"a mountPath would have to be made in a directory with {len(found)} others: "
                              "make it there, or choose another")
        for there in found:
            with contextlib.suppress(FileNotFoundError):  # it has gone meanwhile
                _show(there, place / there.name)
        with contextlib.suppress(OSError):  # an owner that a user's namespace does not know
            os.chown(place, about.st_uid, about.st_gid)
        place.chmod(stat.S_IMODE(about.st_mode))
        self._devices.add(place.stat().st_dev)


def _show(there: Path, here: Path) -> None:
    mode = there.lstat().st_mode
    if stat.S_ISLNK(mode):
        here.symlink_to(there.readlink())
        return
    if stat.S_ISDIR(mode):
        here.mkdir()
    else:
        here.touch()
    _mount(str(there), str(here), flags=_BIND | _REC)


def _opened(source: str, scratch: str) -> int:
    """A descriptor of *source*, by which it is found when it is hidden; made, if it is in *scratch*."""
    if PurePath(scratch) in PurePath(source).parents and not os.path.lexists(source):
        Path(source).mkdir(parents=True)
        Path(source).chmod(_ANYBODY)
    return os.open(source, os.O_PATH | os.O_CLOEXEC)


def _unshare() -> None:
    user, group = os.geteuid(), os.getegid()
    _ask(_LIBC.unshare(_NEWNS if user == 0 else _NEWNS | _NEWUSER))
    if user != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"),
                           ("gid_map", f"{group} {group} 1")):
            Path(f"/proc/self/{name}").write_text(text)


def _bind(source: str, target: str, *, is_read_only: bool) -> None:
    _mount(source, target, flags=_BIND | _REC)
    if is_read_only:
        kept = os.statvfs(target).f_flag & _LOCKED
        _mount("none", target, flags=_REMOUNT | _BIND | _RDONLY | kept)


def _mount(source: str, target: str, type_: str = "none", flags: int = 0, data: str = "") -> None:
    _ask(_LIBC.mount(os.fsencode(source), os.fsencode(target), type_.encode(), ctypes.c_ulong(flags),
                     data.encode()))


def _give_up_capabilities() -> None:
    _ask(_LIBC.capset((ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0), (ctypes.c_uint32 * 6)()))


def _ask(status: int) -> None:
    if status:
        raise _Refused(ctypes.get_errno(), "")


def _hint(error: OSError) -> str:
    """Which setting of this machine stands in the way; empty where it is none."""
    is_root = os.geteuid() == 0
    for name, refuses, allows, is_for_root in _SETTINGS:
        place = Path("/proc/sys") / name.replace(".", "/")
        if (is_for_root or not is_root) and place.exists() and place.read_text().strip() == refuses:
            return f": as root, sysctl -w {name}={allows}"
    if error.errno not in {errno.EPERM, errno.EACCES}:
        return ""
    if is_root:
        return ": this container lacks the capability SYS_ADMIN"
    return ": a user may not mount here (a container's seccomp profile?), so run Clarion as root"


def main() -> None:
    """Try whether this process may mount, for `clarion doctor`: prints why not."""
    try:
        enter(Plan(stage="", scratch="", memory={}, binds=()), ())
    except MountFailed as error:
        print(error)  # noqa: T201  it is what was asked for


if __name__ == "__main__":
    main()
