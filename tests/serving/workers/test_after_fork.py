"""Threads, signals and random numbers are a worker's own, though it was forked from a warm zygote."""

import pytest


@pytest.mark.parametrize("later", [False, True], ids=["a spare", "forked for it"])
async def test_signals(stage, later):
    """A function finds signals as in a fresh process, and handlers of its own are called."""
    code = """
        import os, signal, subprocess
        print(*(signal.getsignal(one) == signal.SIG_DFL for one in (signal.SIGCHLD, signal.SIGHUP)))
        print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        signal.signal(signal.SIGUSR1, lambda number, frame: print("got", signal.Signals(number).name))

        async def handle(event):
            os.kill(os.getpid(), signal.SIGUSR1)
            print(subprocess.run(["sh", "-c", "kill -TERM $$"]).returncode)
        """
    if later:  # the first takes the spare
        await stage.start(code)
    worker = await stage.start(code)

    assert (await stage.ask(worker)).status == 202
    await stage.printed("-15")
    assert stage.log()[-4:] == ["True True", "set()", "got SIGUSR1", "-15"]


async def test_threads(stage):
    """A function is imported in one thread; those it starts run, and the locks of libraries are free."""
    worker = await stage.start("""
        import asyncio, concurrent.futures, logging, os, queue, threading
        print(threading.active_count(), threading.current_thread() is threading.main_thread())

        def handle(event):
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                print(sorted(pool.map(lambda number: number * 2, range(4))))
            logging.getLogger("x").warning("logged")
            asyncio.run(asyncio.sleep(0))
        """)

    assert (await stage.ask(worker)).status == 202
    await stage.printed("[0, 2, 4, 6]")
    assert stage.log()[0] == "1 True"
    assert "WARNING:x:logged" in stage.log()


async def test_random(stage):
    """Workers of one zygote draw different numbers, from every generator there is."""
    code = """
        import os, random, secrets, tempfile, uuid
        print(random.random(), secrets.token_hex(), uuid.uuid4(), os.urandom(4).hex(), tempfile.mktemp())
        def handle(event): pass
        """
    for _ in range(3):
        await stage.start(code)

    drawn = [line.split() for line in stage.log()]
    assert [len(set(numbers)) for numbers in zip(*drawn, strict=True)] == [3] * 5
