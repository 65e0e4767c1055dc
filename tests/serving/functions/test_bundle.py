import io
import os
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.errors import NotFound, TooLarge, UsageError
from serving.functions import bundle


def folder_of(path, files):
    """A folder with *files*: name -> content."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    return path


def names(data):
    """The members' names, in order."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


def archive_of(*members):
    """A tar.gz of (TarInfo, bytes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def member(name, kind=tarfile.REGTYPE, link=""):
    """One member without content."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


def test_the_same_files_are_the_same_bundle(tmp_path):
    """Order of creation, times, umask and place do not change a bundle's digest."""
    one = folder_of(tmp_path / "one", {"func.py": "a", "lib/x.py": "b", "lib/y.py": "c"})
    two = folder_of(tmp_path / "two", {"lib/y.py": "c", "lib/x.py": "b", "func.py": "a"})
    os.utime(two / "func.py", (1, 1))
    (two / "func.py").chmod(0o600)
    assert bundle.digest(bundle.pack(one)) == bundle.digest(bundle.pack(two))


def test_other_content_is_another_bundle(tmp_path):
    """A changed byte, name or executable bit changes it."""
    folder = folder_of(tmp_path / "f", {"func.py": "a"})
    digests = {bundle.digest(bundle.pack(folder))}
    (folder / "func.py").chmod(0o755)
    digests.add(bundle.digest(bundle.pack(folder)))
    (folder / "func.py").write_text("b")
    digests.add(bundle.digest(bundle.pack(folder)))
    (folder / "func.py").rename(folder / "funk.py")
    digests.add(bundle.digest(bundle.pack(folder)))
    assert len(digests) == 4


def test_there_and_back(tmp_path):
    """What is packed is what is unpacked: content, folders, links, modes; a place is kept as it is."""
    folder = folder_of(tmp_path / "f", {"func.py": "print('é')", "bin/run": "#!/bin/sh", "data/a b.txt": ""})
    (folder / "bin/run").chmod(0o755)
    (folder / "lib").symlink_to("data")
    data = bundle.pack(folder)
    bundle.unpack(data, tmp_path / "there" / "it")
    assert bundle.pack(tmp_path / "there" / "it") == data
    assert os.access(tmp_path / "there/it/bin/run", os.X_OK)
    assert (tmp_path / "there/it/lib/a b.txt").exists()
    bundle.unpack(b"not looked at", tmp_path / "there" / "it")
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["it"]


def test_what_is_left_out(tmp_path):
    """Caches, version control, environments and what the ignore files say are not packed."""
    folder = folder_of(
        tmp_path / "f",
        {
            "func.py": "",
            ".git/HEAD": "",
            "__pycache__/func.pyc": "",
            "lib/__pycache__/x.pyc": "",
            "lib/x.py": "",
            ".venv/bin/python": "",
            ".clarion/state": "",
            "stray.pyc": "",
            "big.bin": "",
            "notes/a.md": "",
            "notes/keep.md": "",
            "build/x": "",
            "lib/build": "",
            ".gitignore": "# no\n\n*.bin\nbuild/\n/notes/*\n",
            ".funcignore": "",
            "lib/notes/a.md": "",
        },
    )
    (folder / ".gitignore").write_text((folder / ".gitignore").read_text() + "!/notes/keep.md\n")
    assert names(bundle.pack(folder)) == [
        ".funcignore",
        ".gitignore",
        "func.py",
        "lib/build",
        "lib/notes/a.md",
        "lib/x.py",
        "notes/keep.md",
    ]


@pytest.mark.parametrize(
    ("pattern", "path", "is_folder", "left_out"),
    [
        ("*.log", "a/b.log", False, True),
        ("/a.log", "b/a.log", False, False),
        ("/a.log", "a.log", False, True),
        ("a/", "a", False, False),
        ("a/", "x/a", True, True),
        ("a/b", "a/b", True, True),
        ("a/b", "x/a/b", True, False),
        ("**/a", "x/y/a", True, True),
        ("!a", "a", False, False),
    ],
)
def test_patterns(pattern, path, is_folder, left_out):
    """One line of an ignore file."""
    assert bundle.ignored(path, [pattern], is_folder=is_folder) is left_out


def test_what_cannot_be_packed(tmp_path):
    """No folder, an empty one, or a link that leaves it: one line that says so."""
    with pytest.raises(UsageError, match="not a folder"):
        bundle.pack(tmp_path / "none")
    with pytest.raises(UsageError, match=r"put a func\.py there"):
        bundle.pack(tmp_path)
    (tmp_path / "secrets").symlink_to("/etc")
    with pytest.raises(UsageError, match="links to /etc"):
        bundle.pack(tmp_path)


def test_too_big(tmp_path):
    """A bundle over the limit names its size, the limit and the biggest files."""
    folder_of(tmp_path, {"func.py": ""})
    (tmp_path / "model.bin").write_bytes(os.urandom(bundle.LIMIT_BYTES + 1))
    with pytest.raises(TooLarge, match=r"33\.6 MB.*limit.*model\.bin \(33\.6 MB\).*\.funcignore"):
        bundle.pack(tmp_path)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(member("/etc/passwd"), id="absolute"),
        pytest.param(member("../up"), id="up"),
        pytest.param(member("a/../../up"), id="up from inside"),
        pytest.param(member("dev", tarfile.CHRTYPE), id="device"),
        pytest.param(member("pipe", tarfile.FIFOTYPE), id="pipe"),
        pytest.param(member("hard", tarfile.LNKTYPE, "/etc/passwd"), id="hard link"),
        pytest.param(member("link", tarfile.SYMTYPE, "/etc"), id="absolute link"),
        pytest.param(member("a/link", tarfile.SYMTYPE, "../../etc"), id="link up"),
    ],
)
def test_unsafe_members_are_refused(tmp_path, bad):
    """A member that leads out of the bundle, or is no file, is refused by name, and nothing is left."""
    with pytest.raises(bundle.BundleInvalid, match=bad[0].name):
        bundle.unpack(archive_of(member("func.py"), bad), tmp_path / "b" / "it")
    assert list((tmp_path / "b").iterdir()) == []


def test_nothing_is_written_through_a_link(tmp_path):
    """A link inside the bundle may point, but not be written through."""
    data = archive_of(member("a/x"), member("b", tarfile.SYMTYPE, "a"), member("b/y"))
    with pytest.raises(bundle.BundleInvalid, match="through a link"):
        bundle.unpack(data, tmp_path / "it")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40))
def test_no_name_leads_out(tmp_path_factory, name):
    """Whatever a member is called, nothing appears outside of the bundle's place."""
    top = tmp_path_factory.mktemp("names")
    try:
        bundle.unpack(archive_of(member(name)), top / "it")
    except (bundle.BundleInvalid, OSError):
        assert list(top.iterdir()) == []
    else:
        assert [path.name for path in top.iterdir()] == ["it"]


@given(st.binary(max_size=200))
def test_garbage_is_no_bundle(tmp_path_factory, data):
    """Bytes that are no tar.gz are refused, never something else."""
    with pytest.raises(bundle.BundleInvalid):
        bundle.unpack(data, tmp_path_factory.mktemp("garbage") / "it")


def test_a_cut_bundle_is_refused(tmp_path):
    """Half a bundle is none."""
    data = bundle.pack(folder_of(tmp_path / "f", {"func.py": "x" * 1000, "b": os.urandom(3000).hex()}))
    for length in range(0, len(data) // 2, 97):  # behind the last file is only padding
        with pytest.raises(bundle.BundleInvalid):
            bundle.unpack(data[:length], tmp_path / "it")


def test_a_bomb_is_refused(tmp_path):
    """What unpacks to more than the limit stops there."""
    info, _ = member("zeros")
    data = archive_of((info, bytes(bundle.UNPACKED_LIMIT_BYTES + 1)))
    with pytest.raises(bundle.BundleInvalid, match="unpacks to more"):
        bundle.unpack(data, tmp_path / "it")


async def test_put_and_get(store):
    """A bundle is kept under its digest, and under no other name."""
    name = bundle.digest(b"data")
    with pytest.raises(NotFound, match=name):
        await bundle.get(store, name)
    await bundle.put(store, name, b"data")
    assert await bundle.get(store, name) == b"data"
    with pytest.raises(bundle.BundleInvalid, match="SHA-256"):
        await bundle.put(store, name, b"other")
    with pytest.raises(TooLarge):
        await bundle.put(store, name, bytes(bundle.LIMIT_BYTES + 1))
