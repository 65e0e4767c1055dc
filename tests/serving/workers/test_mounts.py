"""What a worker with volumes sees, by root and by a user; nothing of it is on the machine."""

import asyncio
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from serving.workers import mounts

LOOK = """
    import os, pathlib
    def handle(event):
        print(repr(eval(event.get_data()["look"])), flush=True)
    """


def files(**texts):
    """What table `volumes` says of a volume's files."""
    return {name: {"data": b64encode(text.encode()).decode(), "mode": 0o644} for name, text in texts.items()}


def at(path, volume="v", sub_path="", *, read_only=True):
    """One mount."""
    return {"volume": volume, "path": path, "sub_path": sub_path, "read_only": read_only}


def volumes(*mounted, **scratch):
    """What a record says of them; *scratch*: the empty directories."""
    return {"mounts": list(mounted), "scratch": scratch}


DISK, MEMORY = {"memory": False, "size_bytes": None}, {"memory": True, "size_bytes": 1 << 20}


async def shown(stage, worker, expression):
    """What *expression* is in the worker."""
    count = len(stage.log())
    data = b'{"look": "%s"}' % expression.encode()
    answer = await stage.ask(worker, data)
    assert answer.status == 202, stage.log()
    return eval((await stage.lines(count + 1))[count])


async def test_files(stage):
    """A path that the machine has not is there for the worker alone, and cannot be written."""
    stage.backend.volumes("1", {"v": files(key="value\n")})
    mounted = volumes(at("/clarion-test/config"), at("/etc/clarion-test"), at("/var/clarion-one", "v", "key"))
    worker = await stage.start(LOOK, volumes=mounted)

    assert await shown(stage, worker, "open('/clarion-test/config/key').read()") == "value\n"
    assert await shown(stage, worker, "os.listdir('/clarion-test')") == ["config"]
    assert await shown(stage, worker, "open('/etc/clarion-test/key').read()") == "value\n"
    assert await shown(stage, worker, "open('/var/clarion-one').read()") == "value\n"
    assert await shown(stage, worker, "os.statvfs('/etc/clarion-test').f_flag & os.ST_RDONLY") == 1
    assert await shown(stage, worker, "os.path.samefile('/etc/passwd', '/proc/self/root/etc/passwd')")
    assert not any(map(os.path.lexists, ("/clarion-test", "/etc/clarion-test", "/var/clarion-one")))


async def test_change(stage):
    """Files of a worker that runs change all at once; one that was mounted by itself stays as it was."""
    stage.backend.volumes("1", {"v": files(a="1", gone="1")})
    worker = await stage.start(LOOK, volumes=volumes(at("/clarion-test"), at("/clarion-one", "v", "a")))
    assert await shown(stage, worker, "sorted(os.listdir('/clarion-test'))[1:]") == ["..data", "a", "gone"]

    stage.backend.volumes("1", {"v": files(a="2", new="2")})
    await stage.until((stage.data_dir / "volumes/1/v/new").exists)
    await stage.until(lambda: not os.path.lexists(stage.data_dir / "volumes/1/v/gone"))

    assert await shown(stage, worker, "sorted(os.listdir('/clarion-test'))[1:]") == ["..data", "a", "new"]
    assert await shown(stage, worker, "open('/clarion-test/a').read()") == "2"
    assert await shown(stage, worker, "open('/clarion-one').read()") == "1"


async def test_a_change_that_the_disk_refuses(stage):
    """A worker's log says that it has the files of before, and why; the next change is followed."""
    stage.backend.volumes("1", {"v": files(a="1")})
    worker = await stage.start(LOOK, volumes=volumes(at("/clarion-test")))
    stage.backend.volumes("1", {"v": files(**{"a": "2", "a/b": "2"})})
    said = "its volumes have changed, and it keeps the files that it has: "
    await stage.until(lambda: any(line.startswith(said) for line in stage.log()))
    assert await shown(stage, worker, "open('/clarion-test/a').read()") == "1"
    stage.backend.volumes("1", {"v": files(a="3", b="3")})
    await stage.until((stage.data_dir / "volumes/1/v/b").exists)
    assert await shown(stage, worker, "open('/clarion-test/a').read()") == "3"


async def test_empty_directories(stage):
    """An emptyDir is each worker's own, in memory as big as it says, and goes with its worker."""
    mounted = volumes(at("/clarion-disk", "d", read_only=False), at("/clarion-memory", "m", read_only=False),
                      at("/clarion-disk/deep", "m", "sub", read_only=False), d=DISK, m=MEMORY)
    first = await stage.start(LOOK, volumes=mounted)
    second = await stage.start(LOOK, volumes=mounted)

    assert await shown(stage, first, "pathlib.Path('/clarion-disk/x').write_text('mine')") == 4
    assert await shown(stage, first, "pathlib.Path('/clarion-disk/deep/y').write_text('mine')") == 4
    assert await shown(stage, first, "os.listdir('/clarion-memory/sub')") == ["y"]
    assert await shown(stage, second, "os.listdir('/clarion-disk')") == ["deep"]
    await shown(stage, second, "os.makedirs('/clarion-disk/a/b') or os.chmod('/clarion-disk/a/b', 0)")
    await shown(stage, second, "os.symlink('/etc', '/clarion-disk/a/etc') or os.chmod('/clarion-disk/a', 0)")
    size = "os.statvfs('/clarion-memory').f_blocks * os.statvfs('/clarion-memory').f_frsize"
    assert await shown(stage, first, size) == 1 << 20

    scratch = stage.data_dir / "volumes/scratch"
    assert len(list(scratch.iterdir())) == 2
    await stage.backend.stop(first, 5)
    await stage.until(lambda: len(list(scratch.iterdir())) == 1)
    await stage.backend.stop(second, 0)
    await stage.until(lambda: not list(scratch.iterdir()))


async def test_a_killed_zygote_leaves_nothing(stage):
    """A worker with volumes dies with its zygote, and what was its alone goes."""
    worker = await stage.start(LOOK, volumes=volumes(at("/clarion-disk", "d", read_only=False), d=DISK))
    await shown(stage, worker, "pathlib.Path('/clarion-disk/x').write_text('mine')")

    os.kill(stage.zygote.pid, 9)

    assert await stage.within(worker.exited) == -9
    await stage.until(lambda: not list((stage.data_dir / "volumes/scratch").iterdir()))


async def test_over_what_it_needs(stage):
    """A volume over the directory that code and Python are in hides all else there."""
    top = f"/{Path(stage.data_dir).parts[1]}"
    worker = await stage.start(LOOK, volumes=volumes(at(top, "d", read_only=False), d=DISK))

    assert await shown(stage, worker, "__import__('func').__name__") == "func"
    needed = (stage.data_dir, sys.prefix, sys.base_prefix)  # Clarion's own code is beside its environment
    kept = {Path(path).parts[2] for path in needed if Path(path).is_relative_to(top)}
    assert set(await shown(stage, worker, f"os.listdir('{top}')")) == kept


async def test_command(stage):
    """A program sees them too, and a variable for everything that it starts."""
    stage.backend.volumes("1", {"v": files(key="value")})
    record = {"uid": "1", "command": ["sh", "-c", "cat /clarion-test/key; echo; id -u; exec sleep 60"],
              "volumes": volumes(at("/clarion-test"))}
    await stage.backend.start("default/hello-00001", record)
    await stage.printed("value")
    await stage.printed(str(os.geteuid()))


async def test_what_is_not_there(stage):
    """What a volume lacks is why a worker does not start; where it cannot be, in one line."""
    for fields, said in (
        ({"lacks": ["FailedMount", 'configmap "x" not found']}, 'FailedMount: configmap "x" not found'),
        ({"volumes": volumes(at("/clarion-test"))},
         "StoreAway: the files of its volumes have not come yet"),
    ):
        with pytest.raises(Exception, match=said):
            await stage.start(LOOK, **fields)
        assert said in stage.log()[-1]
    stage.backend.volumes("1", {"v": files(key="value")})
    for path, sub_path, said in (("/etc/passwd", "", "that is a file here, which the volume has not"),
                                 ("/clarion-test", "other", 'volume "v" has no key or path "other"')):
        with pytest.raises(Exception, match=f"FailedMount: cannot mount {path}: {said}"):
            await stage.start(LOOK, volumes=volumes(at(path, "v", sub_path)))


async def test_files_go_with_their_object(stage):
    """They are nobody's to look at, stay while a worker has them, and go with the last."""
    stage.backend.volumes("1", {"v": files(key="secret")})
    worker = await stage.start(LOOK, volumes=volumes(at("/clarion-test")))
    place = stage.data_dir / "volumes"
    assert place.stat().st_mode & 0o777 == 0o700

    stage.backend.volumes("1", None)
    assert await shown(stage, worker, "open('/clarion-test/key').read()") == "secret"
    await stage.backend.stop(worker, 5)
    await stage.until(lambda: not (place / "1").exists())


async def test_a_probe_sees_them(stage):
    """A command that is run beside a worker sees what the worker sees, also what is in memory."""
    worker = await stage.start(LOOK, volumes=volumes(at("/clarion-memory", "m", read_only=False), m=MEMORY),
                               liveness={"exec": {"command": ["touch", "/clarion-memory/probed"]},
                                         "periodSeconds": 0.05})
    async with asyncio.timeout(10):
        while await shown(stage, worker, "os.listdir('/clarion-memory')") != ["probed"]:
            await asyncio.sleep(0.05)


NOT_ALLOWED = """
import ctypes, os, sys
user = os.geteuid()
assert ctypes.CDLL(None).unshare(0x10000000) == 0
open("/proc/self/uid_map", "w").write(f"{sys.argv[2]} {user} 1")
open(f"/proc/sys/user/{sys.argv[1]}", "w").write("0")
os.execv(sys.executable, [sys.executable, "-m", "serving.workers.mounts"])
"""


@pytest.mark.parametrize(("setting", "user"), [("max_mnt_namespaces", "0"), ("max_user_namespaces", "77")])
def test_where_it_is_not_allowed(setting, user):
    """The line that says so has the setting that would allow it."""
    said = subprocess.run([sys.executable, "-c", NOT_ALLOWED, setting, user], check=True, capture_output=True,
                          text=True, timeout=30).stdout
    assert said == (f"cannot mount volumes: No space left on device: as root, sysctl -w "
                    f"user.{setting}=10000\n")


def test_covered():
    """Of what is needed, the outermost that would be hidden."""
    needed = ["/a/b", "/a/b/c", "/a/d/e", "/x", "/a"]
    assert mounts.covered(needed, ["/a", "/q"]) == ["/a/b", "/a/d/e"]
