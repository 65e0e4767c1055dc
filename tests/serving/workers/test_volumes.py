"""What is on the disk for workers' volumes, whatever is asked for and whatever goes wrong."""

import asyncio
import os
import threading
from base64 import b64encode

import pytest

from serving.workers.backend import StartFailed
from serving.workers.volumes import Volumes, lay

DISK = {"memory": False, "size_bytes": None}


def files(mode=0o644, **texts):
    """What table `volumes` says of a volume's files."""
    return {name: {"data": b64encode(text.encode()).decode(), "mode": mode} for name, text in texts.items()}


def record(volume="v", **scratch):
    """Of a revision that mounts *volume*; *scratch*: the empty directories."""
    mount = {"volume": volume, "path": "/there", "sub_path": "", "read_only": True}
    return {"uid": "1", "volumes": {"mounts": [mount], "scratch": scratch}}


@pytest.fixture
def volumes(tmp_path):
    """Of a data directory that is new."""
    return Volumes(tmp_path)


def has_nothing(volumes, tmp_path):
    """Whether no worker is counted and no file is left."""
    place = tmp_path / "volumes"
    return "| 0 workers" in repr(volumes) and not list(place.glob("scratch/*")) and not (place / "1").exists()


@pytest.mark.parametrize("name", ["../../kept", "{}", ".", "..", ""])
async def test_a_name_is_no_path(volumes, tmp_path, name):
    """A volume that is called like another place on the disk is not made, and that place stays as it is."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    name = name.format(kept)
    volumes.told("1", {name: files(key="1")})
    for asked in (record(name), record(name, **{name: DISK})):
        with pytest.raises(StartFailed, match="DiskFailed: its volumes cannot be made: "):
            await volumes.take(asked)
    assert (list(tmp_path.glob("k*/*")), kept.stat().st_mode & 0o777) == ([kept / "file"], 0o755)
    volumes.told("1", None)
    await volumes.follow("1")
    assert has_nothing(volumes, tmp_path)


@pytest.mark.parametrize("odd", [files(1 << 40, a="2"), files(**{"a\0b": "2"}),
                                 files(**{"a": "2", "a/b": "2"})])
async def test_files_that_cannot_be(volumes, tmp_path, odd):
    """Neither a start nor a change is more than refused by them, and what was made of them goes."""
    volumes.told("1", {"first": files(a="1"), "v": odd})
    with pytest.raises(StartFailed, match="DiskFailed: its volumes cannot be made: "):
        await volumes.take(record())
    assert (tmp_path / "volumes/1/first/a").exists()
    volumes.told("1", None)
    await volumes.follow("1")
    assert has_nothing(volumes, tmp_path)

    volumes.told("1", {"v": files(a="1")})
    taken = await volumes.take(record())
    volumes.told("1", {"v": odd})
    assert await volumes.follow("1")
    assert (tmp_path / "volumes/1/v/a").read_text() == "1"
    volumes.told("1", None)
    await volumes.give_back(taken)
    assert has_nothing(volumes, tmp_path)


async def test_files_in_each_others_way(volumes):
    """The volume is named, and both paths as its author gave them."""
    volumes.told("1", {"v": files(**{"x/y": "2", "x": "1"})})
    with pytest.raises(StartFailed, match=r'made: volume "v": "x" is a file, and "x/y" would be below it$'):
        await volumes.take(record())


async def test_a_sub_path_that_is_not_there(volumes, tmp_path):
    """It is named with its volume, and nothing is made; a file and a directory of one will do."""
    volumes.told("1", {"v": files(**{"a/b": "1"})})
    asked = record()
    for sub_path in ("a/b", "a"):
        asked["volumes"]["mounts"][0]["sub_path"] = sub_path
        await volumes.give_back(await volumes.take(asked))
    asked["volumes"]["mounts"][0]["sub_path"] = "other"
    with pytest.raises(StartFailed, match=r'^FailedMount: cannot mount /there: volume "v" has no key or '
                                          r'path "other", which its subPath names$'):
        await volumes.take(asked)
    volumes.told("1", None)
    await volumes.follow("1")
    assert has_nothing(volumes, tmp_path)


async def test_a_change_that_failed_once(volumes, tmp_path):
    """It is made when the next worker starts."""
    volumes.told("1", {"v": files(a="1")})
    await volumes.take(record())
    in_the_way = tmp_path / "volumes/1/v/..data_tmp"
    in_the_way.mkdir()
    volumes.told("1", {"v": files(a="2")})
    assert await volumes.follow("1")
    with pytest.raises(StartFailed):
        await volumes.take(record())
    in_the_way.rmdir()
    await volumes.take(record())
    assert (tmp_path / "volumes/1/v/a").read_text() == "2"


def test_what_was_left_half_done(tmp_path):
    """The names of files are there, and old ones are not, though they were not all done the first time."""
    lay(tmp_path, files(a="1"))
    (tmp_path / "a").unlink()
    (tmp_path / "old").symlink_to("..data/old")
    lay(tmp_path, files(a="1"))
    assert (tmp_path / "a").read_text() == "1"
    assert not (tmp_path / "old").is_symlink()


async def test_every_user_may_enter(volumes, tmp_path):
    """Whatever the umask of the role is, a worker of another user gets into what is mounted for it."""
    before = os.umask(0o077)
    try:
        volumes.told("1", {"v": files(**{"a/b": "1"})})
        await volumes.take(record(d=DISK))
    finally:
        os.umask(before)
    folder = tmp_path / "volumes/1/v"
    assert [each.stat().st_mode & 0o777 for each in (folder, folder / "a", folder / "a/b")] == [
        0o755, 0o755, 0o644]


async def test_a_start_that_is_cancelled(tmp_path):
    """What a thread is still making then goes, too."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Volumes):
        def _make(self, scratch, names):
            begun.set()
            go_on.wait(10)
            super()._make(scratch, names)

    volumes = Slow(tmp_path)
    async with asyncio.TaskGroup() as tasks:
        taking = tasks.create_task(volumes.take(record("d", d=DISK)))
        assert await asyncio.to_thread(begun.wait, 10)
        taking.cancel()
        await asyncio.sleep(0)
        go_on.set()
    assert taking.cancelled()
    assert (tmp_path / "volumes/scratch").is_dir()
    assert has_nothing(volumes, tmp_path)
