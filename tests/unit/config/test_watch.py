"""Following the settings file, as editors and the kubelet change it."""

import asyncio
import os

import pytest
from tests.privileges import as_ordinary_user

from speechpool.config import FileWatcher, load
from speechpool.errors import SettingsError
from speechpool.settings import Source

PATIENCE_SECONDS = 30


class Watched:
    """A settings file, the store that was made from it, and its watcher."""

    def __init__(self, path, **options):
        self.path = path
        self.store = load({"SPEECHPOOL_CONFIG": str(path)})
        self.watcher = FileWatcher(self.store, path, **options)
        self.updates = []
        self.told = asyncio.Event()
        self.store.bind(self.apply, self.note)

    async def apply(self, old, new):
        pass

    def note(self, update):
        self.updates.append(update)
        self.told.set()

    @property
    def warm_size(self):
        return self.store.current.pools[0].warm_pool_size

    @property
    def state(self):
        return self.store.states[Source.FILE]

    async def see(self, content):
        """Replace the file in one step, and look."""
        replace(self.path, content)
        await self.watcher.poll()


def replace(path, content):
    new = path.with_suffix(".new")
    new.write_bytes(content if isinstance(content, bytes) else content.encode())
    new.rename(path)


@pytest.fixture
def watched(tmp_path):
    path = tmp_path / "speechpool.yaml"
    path.write_text("warmSize: 5\n")
    return Watched(path)


async def test_an_unchanged_file_is_not_applied_again(watched):
    for _ in range(3):
        await watched.watcher.poll()
    assert watched.updates == []


async def test_a_change_is_applied(watched):
    await watched.see("warmSize: 6\n")
    assert watched.warm_size == 6


async def test_a_change_in_place_of_the_same_size_and_time_is_seen(watched):
    await watched.watcher.poll()
    status = watched.path.stat()
    watched.path.write_text("warmSize: 6\n")
    os.utime(watched.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    await watched.watcher.poll()
    assert watched.warm_size == 6


async def test_an_old_file_is_read_once_and_only_looked_at_afterwards(watched):
    os.utime(watched.path, (1, 1))
    await watched.watcher.poll()
    await watched.watcher.poll()
    assert watched.updates == []
    await watched.see("warmSize: 6\n")
    assert watched.warm_size == 6


async def test_a_touched_file_is_not_applied_again(watched):
    await watched.watcher.poll()
    os.utime(watched.path, (1, 1))
    await watched.watcher.poll()
    assert watched.updates == []


async def test_a_configmaps_swap_of_links_is_seen(tmp_path):
    """The file is a link to ..data/file, ..data a link to a folder; the kubelet renames a new link over ..data."""
    for name, size in (("..1", 5), ("..2", 6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "speechpool.yaml").write_text(f"warmSize: {size}\n")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "speechpool.yaml").symlink_to("..data/speechpool.yaml")
    watched = Watched(tmp_path / "speechpool.yaml")
    assert watched.warm_size == 5
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    await watched.watcher.poll()
    assert watched.warm_size == 6


@pytest.mark.parametrize(
    "content", ["warmSize: [", "warmSize: -1", "nope: 1", b"\xff", "warmSize: 5\nwarmSize: 6", "- 1", "warmSize: 100"]
)
async def test_a_bad_file_changes_nothing_and_is_reported_once(watched, content):
    for _ in range(3):
        await watched.see(content)
    assert watched.warm_size == 5
    assert not watched.state.ok
    assert watched.state.rejected_total == 1


async def test_a_file_that_is_half_written_is_applied_when_it_is_whole(watched):
    await watched.see("warmSize: 6\npools: [{name: a, ki")
    assert watched.warm_size == 5
    await watched.see("warmSize: 6\npools: [{name: a, kind: TextToSpeech}]")
    assert watched.warm_size == 6
    assert watched.state.ok


async def test_a_return_to_the_good_content_ends_the_report(watched):
    await watched.see("warmSize: -1")
    await watched.see("warmSize: 5\n")
    assert watched.state.ok
    assert watched.warm_size == 5


async def test_the_same_mistake_is_reported_again_after_it_was_mended(watched):
    for content in ("nope: 1", "warmSize: 5\n", "nope: 1"):
        await watched.see(content)
    assert watched.state.rejected_total == 2


async def test_a_file_that_is_gone_for_one_look_stays_in_force(watched):
    watched.path.unlink()
    await watched.watcher.poll()
    assert watched.warm_size == 5
    await watched.see("warmSize: 5\n")
    await watched.watcher.poll()
    assert watched.updates == []


async def test_a_file_that_is_gone_for_two_looks_sets_nothing_any_more(watched):
    watched.path.unlink()
    for _ in range(4):
        await watched.watcher.poll()
    assert watched.warm_size == 3
    assert len(watched.updates) == 1
    assert (watched.state.present, watched.state.ok) == (False, True)


async def test_a_file_that_comes_back_is_applied(watched):
    watched.path.unlink()
    for _ in range(2):
        await watched.watcher.poll()
    await watched.see("warmSize: 5\n")
    assert watched.warm_size == 5
    assert watched.state.present


async def test_a_directory_in_its_place_is_reported_and_changes_nothing(watched):
    watched.path.unlink()
    watched.path.mkdir()
    for _ in range(3):
        await watched.watcher.poll()
    assert watched.warm_size == 5
    assert watched.state.rejected_total == 1
    watched.path.rmdir()
    await watched.see("warmSize: 5\n")
    assert watched.state.ok


async def test_a_file_that_may_not_be_read_is_read_once_it_may(watched):
    watched.path.chmod(0)
    with as_ordinary_user():
        await watched.watcher.poll()
    assert not watched.state.ok
    watched.path.chmod(0o600)
    await watched.watcher.poll()
    assert watched.state.ok


async def test_a_forced_look_applies_what_was_refused_before(watched):
    refusals = [True]

    async def apply(old, new):
        if refusals:
            raise SettingsError("not now")

    watched.store.bind(apply)
    await watched.see("warmSize: 6\n")
    refusals.clear()
    await watched.watcher.poll()
    assert watched.warm_size == 5
    await watched.watcher.poll(forced=True)
    assert watched.warm_size == 6


async def test_it_follows_until_it_is_cancelled(tmp_path):
    (tmp_path / "s.yaml").write_text("warmSize: 5\n")
    watched = Watched(tmp_path / "s.yaml", interval_seconds=0.01)
    running = asyncio.create_task(watched.watcher.run())
    replace(watched.path, "warmSize: 6\n")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await watched.told.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert watched.warm_size == 6


async def test_a_reload_does_not_wait_for_the_interval(tmp_path):
    (tmp_path / "s.yaml").write_text("warmSize: 5\n")
    watched = Watched(tmp_path / "s.yaml", interval_seconds=3600)
    running = asyncio.create_task(watched.watcher.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        watched.watcher.reload()
        await watched.told.wait()  # the first look
        watched.told.clear()
        replace(watched.path, "warmSize: 6\n")
        watched.watcher.reload()
        await watched.told.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert watched.warm_size == 6
