"""Functions that need packages: environments built by a real pip, from wheels in a folder and no index."""

import asyncio
import contextlib
import shutil
import zipfile
from pathlib import Path

import pytest

from serving.workers import environment
from serving.workers.backend import StartFailed

NAME = "default/hello-00001"


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder of wheels that is all the index there is; `wheels(name, version)` adds one."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))

    def add(name, version="1.0", code="", script=""):
        about = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", f"VERSION = {version!r}\n{code}")
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
                                             "Tag: py3-none-any\n")
            if script:
                wheel.writestr(f"{about}/entry_points.txt", f"[console_scripts]\n{script}\n")
            wheel.writestr(f"{about}/RECORD", "")
        return folder / f"{name}-{version}-py3-none-any.whl"

    return add


FUNCTION = "import tiny\nprint('tiny', tiny.VERSION)\ndef handle(event): pass\n"


def environments(stage):
    """Those that are complete."""
    return [path.parent for path in (stage.data_dir / "environments").glob("*/complete")]


async def start(stage, record):
    """Start a worker and wait until it is ready; returns it and what was told meanwhile."""
    told = []
    worker = await stage.backend.start(NAME, record, lambda reason, message: told.append((reason, message)))
    await stage.within(worker.ready)
    return worker, told


async def test_built_once_and_shared(stage, wheels):
    """What is missing is installed once for all that ask; the build shows in the log and in progress."""
    wheels("tiny")
    first = await stage.record(files={"func.py": FUNCTION, "requirements.txt": "tiny==1.0\ncloudevents"})
    project = "[project]\nname = 'x'\ndependencies = ['cloudevents', 'tiny==1.0']\n"
    second = await stage.record(files={"func.py": f"{FUNCTION}\n# other", "pyproject.toml": project})

    _, told = await start(stage, first)

    assert told[0][0] == "BuildingEnvironment"
    assert any("tiny" in message for _, message in told)
    assert told[-1] == ("", "")
    assert any("Successfully installed tiny-1.0" in line for line in stage.log())
    assert "tiny 1.0" in stage.log()
    _, told = await start(stage, second)
    assert told == [("", "")]
    [only] = environments(stage)
    assert [path.name for path in only.glob("lib/*/site-packages/cloudevents")] == []


async def test_two_at_once(stage, wheels):
    """Revisions that need the same at the same time wait for one build; one with other needs gets its own."""
    wheels("tiny")
    wheels("tiny", "2.0")
    records = [await stage.record(files={"func.py": f"{FUNCTION}# {number}", "requirements.txt": need})
               for number, need in enumerate(["tiny==1.0", "tiny==1.0", "tiny==2.0"])]

    await asyncio.gather(*(start(stage, record) for record in records))

    assert len(environments(stage)) == 2
    assert stage.log().count("tiny 1.0") == 2
    assert stage.log().count("tiny 2.0") == 1


async def test_satisfied(stage, wheels):
    """Knative's own pyproject.toml, whose needs are there already, needs neither pip nor network."""
    record = await stage.record(files={
        "function/__init__.py": "from .func import new\n",
        "function/func.py": "class F:\n    async def handle(self, scope, receive, send):\n"
                            "        await send.binary(scope['event'])\ndef new(): return F()\n",
        "pyproject.toml": """
            [project]
            name = "function"
            version = "0.1.0"
            dependencies = ["cloudevents", "pytest", "pytest-asyncio"]
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"
            """})
    worker, _ = await start(stage, record)

    assert (await stage.ask(worker)).header(b"ce-type") == b"order.placed"
    assert not (stage.data_dir / "environments").exists()


async def test_newer_than_ours(stage, wheels):
    """A function may bring a newer version of what Clarion uses; other functions go on with Clarion's."""
    wheels("itsours", code="")
    wheels("iniconfig", "999.0")
    code = "import iniconfig\nprint(getattr(iniconfig, 'VERSION', 'ours'))\ndef handle(event): pass\n"

    await start(stage, await stage.record(files={"func.py": code, "requirements.txt": "iniconfig>=999"}))
    await start(stage, await stage.record(code))

    assert [line for line in stage.log() if line in {"999.0", "ours"}] == ["999.0", "ours"]


async def test_older_than_clarion_needs(stage, wheels):
    """What would break the worker itself is refused, and the words are pip's."""
    wheels("orjson", "1.0")
    record = await stage.record(files={"func.py": FUNCTION, "requirements.txt": "orjson==1.0"})

    with pytest.raises(StartFailed) as caught:
        await stage.backend.start(NAME, record)

    assert caught.value.reason == "EnvironmentFailed"
    assert "orjson==1.0" in caught.value.message
    assert "The user requested (constraint) orjson>=" in caught.value.message


async def test_not_to_be_had(stage, wheels):
    """A package that nobody has: pip's last lines; the next start does not ask again at once."""
    record = await stage.record(files={"func.py": FUNCTION, "requirements.txt": "tiny>=5"})

    for _ in range(2):
        with pytest.raises(StartFailed, match=r"No matching distribution found for tiny>=5"):
            await stage.backend.start(NAME, record)

    assert sum(line.startswith("Looking in links") for line in stage.log()) == 1  # pip ran once
    assert environments(stage) == []


async def test_no_network(stage, monkeypatch):
    """An index that does not answer is said to be that."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    record = await stage.record(files={"func.py": FUNCTION, "requirements.txt": "tiny"})

    with pytest.raises(StartFailed, match=r"the package index cannot be reached \(no network\?\)"):
        await stage.backend.start(NAME, record)


async def test_unreadable(stage):
    """A file that cannot be read says which."""
    record = await stage.record(files={"func.py": FUNCTION, "pyproject.toml": "[project"})

    with pytest.raises(StartFailed, match=r"EnvironmentFailed: pyproject.toml: not TOML"):
        await stage.backend.start(NAME, record)


async def test_wheel_in_the_folder(stage, wheels):
    """A requirements.txt may name a file beside it."""
    wheel = wheels("tiny", "3.0")
    folder = stage.data_dir.parent / "own"
    folder.mkdir()
    (folder / "func.py").write_text(FUNCTION)
    (folder / wheel.name).write_bytes(wheel.read_bytes())
    (folder / "requirements.txt").write_text(f"./{wheel.name}\n")

    await start(stage, await stage.pack(folder))

    assert "tiny 3.0" in stage.log()


async def test_command(stage, wheels):
    """A `command` in the bundle finds the environment's Python and its scripts first."""
    code = "def main():\n    print('script', VERSION, flush=True)\n"
    wheels("tiny", code=code, script="tinyscript = tiny:main")
    command = ["sh", "-c", "tinyscript; exec python -c 'import tiny; print(tiny.VERSION)'"]
    record = await stage.record(files={"a.txt": "", "requirements.txt": "tiny"}, command=command)

    worker = await stage.backend.start(NAME, record)
    await stage.within(asyncio.shield(worker.exited))

    assert [line for line in stage.log() if line in {"script 1.0", "1.0"}] == ["script 1.0", "1.0"]


async def test_preload(stage, wheels):
    """A zygote of the environment imports what is in it; numeric libraries are told to start no threads."""
    wheels("tiny", code="import os\nTHREADS = os.environ['OPENBLAS_NUM_THREADS']\nPID = os.getpid()\n")
    code = "import os, tiny\nprint(tiny.THREADS, tiny.PID == os.getpid(), 'OMP_NUM_THREADS' in os.environ)\n"
    record = await stage.record(files={"func.py": f"{code}def handle(event): pass\n",
                                       "requirements.txt": "tiny"}, preload=["tiny"])

    await start(stage, record)

    assert stage.log()[-1] == "1 False False"


async def test_prepared(stage, wheels):
    """What a first start would wait for can be done before: bundle, environment, and a warm zygote."""
    wheels("tiny")
    record = await stage.record(files={"func.py": FUNCTION, "requirements.txt": "tiny"})

    await stage.within(stage.backend.prepare(NAME, record))

    assert repr(stage.backend) == "<LocalBackend [2 zygotes | 0 workers]>"
    _, told = await start(stage, record)
    assert told == []
    assert repr(stage.backend) == "<LocalBackend [2 zygotes | 1 workers]>"


@pytest.fixture
async def silence(monkeypatch):
    """An index that takes connections and never answers."""
    async def hang(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.read()  # until pip is gone
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
        yield


async def test_nobody_else_waits(stage, silence):
    """While an environment is built, or is not, other functions start as ever."""
    record = await stage.record(files={"func.py": FUNCTION, "requirements.txt": "tiny"})
    building = asyncio.get_running_loop().create_task(stage.backend.start(NAME, record))
    await stage.until(lambda: list((stage.data_dir / "environments").glob("*/bin")))

    worker = await stage.start("def handle(event): pass\n")

    assert (await stage.ask(worker)).status == 202
    assert not building.done()
    building.cancel()
    await asyncio.wait([building])


async def test_takes_too_long(stage, silence, monkeypatch):
    """A build has a limit, and nothing of it runs on."""
    monkeypatch.setattr(environment, "BUILD_LIMIT_S", 0.5)
    record = await stage.record(files={"func.py": FUNCTION, "requirements.txt": "tiny"})

    with pytest.raises(StartFailed, match=r"EnvironmentFailed: it was not installed within"):
        await stage.backend.start(NAME, record)

    assert _builders(stage) == []


async def test_removed(stage, wheels):
    """An environment that somebody has removed is built again, and the backend goes on."""
    wheels("tiny")
    record = await stage.record(files={"func.py": FUNCTION, "requirements.txt": "tiny"})
    await stage.within(stage.backend.prepare(NAME, record))
    [place] = environments(stage)
    shutil.rmtree(place)

    await start(stage, record)

    assert environments(stage) == [place]


async def test_interpreter_is_gone(stage):
    """A zygote that cannot be started fails the worker that needs it, and nothing else."""
    await stage.backend.warm()
    zygote = stage.backend._zygotes.of("/nowhere/python", ())  # no environment leads there by itself
    await stage.until(lambda: zygote.is_gone)

    await stage.start("def handle(event): pass\n")


async def test_cancelled(stage, wheels):
    """A start that is given up leaves no build behind; the next one builds."""
    wheels("tiny")
    record = await stage.record(files={"func.py": FUNCTION, "requirements.txt": "tiny"})
    first = asyncio.get_running_loop().create_task(stage.backend.start(NAME, record))
    await stage.until(lambda: list((stage.data_dir / "environments").glob("*.lock")))

    first.cancel()
    await asyncio.wait([first])

    assert first.cancelled()
    assert _builders(stage) == []
    await start(stage, record)


def _builders(stage):
    """Processes that build in its data directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"serving.workers.install" in words and any(bytes(stage.data_dir) in word for word in words):
                found.append(words)
    return found
