"""Worker processes, on both event loops: real ones, that echo, fail, hang, babble and are killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop
from tests.integration.processes import children, is_running, open_files
from tests.waiting import until

from speechpool.errors import WorkerDied
from speechpool.workers.frames import MAX_PAYLOAD_BYTES
from speechpool.workers.process import WorkerProcess

CHILDREN = Path(__file__).parent / "worker_children"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(CHILDREN))


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    """Runs a scenario; afterwards no process and no file of it may be left."""
    before = children()
    with asyncio.Runner(loop_factory=request.param) as runner:
        runner.run(come_and_go())  # the loop opens files of its own for the first
        files = open_files()
        yield runner.run
        assert open_files() == files
    assert children() == before


async def come_and_go():
    async with started():
        pass


class Frames(list):
    """Keeps the frames of a worker, and lets a test wait for some."""

    def __call__(self, *frame):
        self.append(frame)

    async def count(self, number):
        await until(lambda: len(self) >= number)
        return self


def make(behaviour="echo", on_frame=None, name="test"):
    return WorkerProcess("echoing", [behaviour], name=name, on_frame=Frames() if on_frame is None else on_frame)


@contextlib.asynccontextmanager
async def started(behaviour="echo", on_frame=None):
    worker = make(behaviour, on_frame)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.close()


# --- frames --------------------------------------------------------------------------------------------------------


def test_frames_come_back_whole_and_in_order(run):
    sizes = [0, 1, 65_536, 7, MAX_PAYLOAD_BYTES, 3] * 3
    sent = [(number, number, bytes([number]) * size) for number, size in enumerate(sizes, start=1)]

    async def scenario():
        received = Frames()
        async with started(on_frame=received) as worker:
            for frame in sent:
                await worker.send(*frame)
            return await received.count(len(sent))

    assert run(scenario()) == sent


def test_a_greeting_comes_with_the_start(run):
    async def scenario():
        async with started() as worker:
            return worker.greeting, worker.alive, worker.state

    assert run(scenario()) == (b"hello", True, "running")


def test_a_payload_that_is_too_long_is_refused_and_the_worker_lives(run):
    async def scenario():
        async with started() as worker:
            with pytest.raises(ValueError, match=str(MAX_PAYLOAD_BYTES)):
                await worker.send(1, 1, bytes(MAX_PAYLOAD_BYTES + 1))
            assert worker.alive

    run(scenario())


def test_send_waits_for_a_child_that_does_not_read_and_ends_with_the_worker(run):
    async def scenario():
        async with started("be_deaf") as worker:
            sent = 0

            async def flood():
                nonlocal sent
                while True:
                    await worker.send(1, 1, bytes(65_536))
                    sent += 1

            flooding = asyncio.ensure_future(flood())
            await until(lambda: not worker._writable.is_set())
            assert sent < 64  # 256 KiB of ours, and what the kernel holds
            worker.kill()
            with pytest.raises(WorkerDied):
                await flooding

    run(scenario())


def test_a_cancelled_send_leaves_the_frames_whole(run):
    async def scenario():
        received = Frames()
        async with started(on_frame=received) as worker:
            os.kill(worker.pid, signal.SIGSTOP)
            sends = [asyncio.ensure_future(worker.send(i, 1, bytes(100_000))) for i in range(40)]
            await until(lambda: not worker._writable.is_set())
            waiting = [send for send in sends if not send.done()]
            for send in waiting:
                send.cancel()
            await asyncio.gather(*sends, return_exceptions=True)
            os.kill(worker.pid, signal.SIGCONT)
            await worker.send(99, 1, b"last")
            await until(lambda: received and received[-1] == (99, 1, b"last"))
            assert all(payload == bytes(100_000) for _, _, payload in received[:-1])

    run(scenario())


# --- the start -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "arguments", "reason"),
    [
        ("no_such_module", [], "No module named no_such_module"),
        ("echoing", ["fail_to_load"], "ImportError: the model is not there"),
    ],
)
def test_a_worker_that_cannot_start_says_why(run, module, arguments, reason):
    async def scenario():
        worker = WorkerProcess(module, arguments, name="broken", on_frame=Frames())
        with pytest.raises(WorkerDied, match=f"worker broken exited with code 1 before it was ready: .*{reason}"):
            await worker.start()

    run(scenario())


def test_a_worker_that_writes_a_million_characters_as_it_fails_is_not_held_up_nor_quoted_in_full(run):
    async def scenario():
        with pytest.raises(WorkerDied, match=r"worker test exited with code \d before it was ready") as caught:
            await make("fail_wordily").start()
        return str(caught.value)

    assert len(run(scenario())) < 1000


def test_a_worker_that_is_never_ready_is_ended_at_its_time_limit(run):
    async def scenario():
        with pytest.raises(WorkerDied, match=r"worker test was not ready within 0\.3 s"):
            await make("never_be_ready").start(timeout_seconds=0.3)

    run(scenario())


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 10])
def test_a_cancelled_start_leaves_no_process(run, steps):
    async def scenario():
        starting = asyncio.ensure_future(make("never_be_ready").start())
        for _ in range(steps):
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    run(scenario())


def test_closing_a_worker_while_it_starts_ends_the_start(run):
    async def scenario():
        worker = make("never_be_ready")
        starting = asyncio.ensure_future(worker.start())
        await until(lambda: worker.pid)
        await worker.close(timeout_seconds=0.05)
        with pytest.raises(WorkerDied):
            await starting

    run(scenario())


def test_closing_a_worker_that_was_never_started_is_nothing(run):
    run(make().close())


def test_a_worker_gets_no_secrets_and_no_ctrl_c(run, monkeypatch):
    monkeypatch.setenv("AZURE_SPEECH_KEY", "0123")
    monkeypatch.setenv("SPEECHPOOL_LISTEN_TOKEN", "0123")

    async def scenario():
        async with started("tell_surroundings") as worker:
            return worker.greeting.decode().split("\n")

    *names, group, interrupts = run(scenario())
    assert "PATH" in names
    assert not any("AZURE" in name or "SPEECHPOOL" in name for name in names)
    assert (group, interrupts) == ("group True", "SIGINT ignored True")


def test_what_a_working_worker_writes_goes_nowhere_and_holds_nothing_up(run, capfd):
    async def scenario():
        received = Frames()
        async with started("complain", received) as worker:
            await worker.send(1, 2, b"x")
            await received.count(1)

    run(scenario())
    assert capfd.readouterr() == ("", "")


# --- the end -------------------------------------------------------------------------------------------------------


def test_a_killed_worker_is_noticed_at_once_reaped_and_told_once(run):
    async def scenario():
        told = []
        async with started() as worker:
            worker.on_exit(lambda: told.append(worker.alive))
            os.kill(worker.pid, signal.SIGKILL)
            await until(lambda: told)
            with pytest.raises(WorkerDied, match="worker test"):
                await worker.send(1, 1, b"")
            with pytest.raises(WorkerDied, match="worker test"):
                worker.post(1, 1, b"")
            await until(lambda: worker.pid not in children())
            assert worker.state == "was killed by SIGKILL"
        assert told == [False]

    run(scenario())


def test_a_worker_that_ends_by_itself_tells_its_code(run):
    async def scenario():
        told = asyncio.Event()
        async with started("end") as worker:
            worker.on_exit(told.set)
            await worker.send(1, 1)
            await told.wait()
            await until(lambda: worker.pid not in children())
            assert worker.state == "exited with code 3"
            late = asyncio.Event()
            worker.on_exit(late.set)
            await late.wait()

    run(scenario())


def test_a_worker_that_breaks_the_protocol_is_ended(run):
    async def scenario():
        told = asyncio.Event()
        problems = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context["message"]))
        async with started("babble") as worker:
            worker.on_exit(told.set)
            await told.wait()
            await until(lambda: worker.pid not in children())
            assert not worker.alive
        assert problems  # the loop reports it: a bug of ours, not of a caller

    run(scenario())


def test_close_ends_an_idle_worker_without_force_and_tells_nobody(run):
    async def scenario():
        told = []
        worker = make()
        await worker.start()
        worker.on_exit(lambda: told.append(True))
        await asyncio.gather(worker.close(), worker.close())
        await worker.close()
        assert worker.state == "exited with code 0"
        assert not told
        with pytest.raises(WorkerDied):
            await worker.send(1, 1)

    run(scenario())


def test_close_kills_a_worker_that_does_not_end(run):
    async def scenario():
        worker = make("be_deaf")
        await worker.start()
        await worker.close(timeout_seconds=0.05)
        assert worker.state == "was killed by SIGKILL"

    run(scenario())


def test_a_stopped_worker_is_closed_too(run):
    async def scenario():
        worker = make()
        await worker.start()
        os.kill(worker.pid, signal.SIGSTOP)
        await worker.close(timeout_seconds=0.05)
        assert worker.state == "was killed by SIGKILL"

    run(scenario())


def test_a_cancelled_close_kills_at_once(run):
    async def scenario():
        worker = make("be_deaf")
        await worker.start()
        closing = asyncio.ensure_future(worker.close(timeout_seconds=60))
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await until(lambda: worker.pid not in children())

    run(scenario())


def test_a_crowd_of_workers_comes_and_goes(run):
    async def scenario():
        workers = [make(name=f"crowd-{i}") for i in range(8)]
        await asyncio.gather(*(worker.start() for worker in workers))
        for worker in workers[::2]:
            worker.kill()
        await asyncio.gather(*(worker.close() for worker in workers))

    run(scenario())


@pytest.mark.parametrize("behaviour", ["echo", "be_deaf"])
def test_workers_die_with_a_parent_that_is_killed(behaviour):
    """Even one that is in the middle of a call and does not look at its socket."""
    parent = subprocess.Popen([sys.executable, CHILDREN / "parent.py", behaviour], stdout=subprocess.PIPE, text=True)
    with parent:
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    asyncio.run(until(lambda: not is_running(pid)))
