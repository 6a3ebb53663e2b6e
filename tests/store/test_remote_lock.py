"""The lock of a run on a remote file system: who gets it, who loses it, and that no clock is compared."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from byrote.errors import StoreError
from byrote.store.remote_lock import DEAD, SETTLE, RemoteLock

URL, ROOT = "memory://bucket/run", "/bucket/run"


class PlainFileSystem(MemoryFileSystem):
    """One of which nothing is known, so that no object is created conditionally."""

    protocol = "plain"


@pytest.fixture
def fs() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


class Watcher(RemoteLock):
    """Another machine's lock, whose clock goes as far as it sleeps; `meanwhile` is called in each sleep."""

    def __init__(self, fs: Any, meanwhile: Any = lambda: None) -> None:
        self.now, self.meanwhile = 0.0, meanwhile
        super().__init__(fs, ROOT, URL, clock=lambda: self.now, sleep=self.wait)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


def objects(fs: Any) -> list[str]:
    return sorted(path.rsplit("/")[-1] for path in fs.ls(ROOT, detail=False))


def test_a_living_owner_is_never_taken_over_however_its_wall_clock_jumps(fs: Any, monkeypatch: pytest.MonkeyPatch):
    owner, hours = Watcher(fs), iter(range(0, 10**9, 10**5))
    monkeypatch.setattr(time, "time", lambda: float(next(hours)))
    owner.take()
    watcher = Watcher(fs)
    watcher.meanwhile = lambda: owner.beat() if watcher.now > DEAD - 5 else None  # it was slow for a while
    with pytest.raises(StoreError, match=rf"another byrote \(process \d+ on .+\) is writing to {URL}; wait for it"):
        watcher.take()
    assert DEAD - 5 < watcher.now < DEAD
    owner.check()
    assert set(owner.holder().facts) == {"owner", "host", "process", "beat", "released"}, "no time is written"


def test_a_dead_owners_lock_is_taken_over_and_the_owner_notices(fs: Any):
    owner, watcher, said = Watcher(fs), Watcher(fs), list[str]()
    owner.take()
    owner.beat()
    watcher.take(say=said.append)
    assert watcher.now >= DEAD
    assert said[0].startswith(f"{URL} was held by process ")
    for step in (owner.check, owner.beat):
        with pytest.raises(StoreError, match=f"another byrote has taken over {URL} while this one could not be heard"):
            step()
    owner.release()
    watcher.check()
    assert objects(fs) == [".lock-2"]


def test_an_owner_that_the_caller_knows_to_be_dead_is_not_waited_for_on_its_own_host(
    fs: Any, monkeypatch: pytest.MonkeyPatch
):
    owner, next_one = Watcher(fs), Watcher(fs)
    owner.take()
    monkeypatch.setattr("socket.gethostname", lambda: "node")  # which shares the cache, and not the locks of its files
    elsewhere = Watcher(fs, owner.beat)
    with pytest.raises(StoreError, match="another byrote"):
        elsewhere.take(dead=owner.owner)
    next_one.take(dead=owner.owner)
    assert next_one.now == 0
    next_one.check()


def test_a_lock_that_is_let_go_is_free(fs: Any):
    owner, next_one, waiting = Watcher(fs), Watcher(fs), Watcher(fs)
    owner.take()
    assert next_one.living()
    owner.release()
    assert next_one.living() is None
    next_one.take()
    assert next_one.now == 0
    waiting.meanwhile = next_one.release
    waiting.take()
    assert waiting.now < DEAD


def test_an_owner_that_falls_silent_is_living_until_it_has_been_silent_long_enough(fs: Any):
    owner, watcher = Watcher(fs), Watcher(fs)
    owner.take()
    assert watcher.living()
    watcher.now += DEAD - 1
    assert watcher.living()
    owner.beat()
    watcher.now += 2
    assert watcher.living()
    watcher.now += DEAD
    assert watcher.living() is None


def test_of_two_who_find_a_dead_owner_one_gets_the_lock(fs: Any):
    dead, first, second = Watcher(fs), Watcher(fs), Watcher(fs)
    dead.take()

    def once() -> None:
        if second.now >= DEAD and not first._number:
            first.take(dead=dead.owner)
        elif first._number:
            first.beat()

    second.meanwhile = once
    with pytest.raises(StoreError, match="another byrote"):
        second.take()
    first.check()


def test_who_comes_too_late_to_a_number_that_was_used_and_swept_away_does_not_get_the_lock(fs: Any):
    late, others = Watcher(fs), [Watcher(fs), Watcher(fs)]
    create = late._create

    def slow(number: int) -> bool:
        if others[0]._number == 0:
            others[0].take()
            others[0].release()
            others[1].take()
            assert objects(fs) == [".lock-2"]
        return create(number)

    late._create = slow
    late.meanwhile = others[1].beat
    with pytest.raises(StoreError, match="another byrote"):
        late.take()
    others[1].check()
    assert objects(fs) == [".lock-2"]


def test_where_nothing_is_created_conditionally_the_last_to_write_has_it(fs: Any):
    plain = PlainFileSystem()
    plain.store = fs.store
    first, second = Watcher(plain), Watcher(plain)

    def overwritten() -> None:
        if first.now == SETTLE:
            plain.pipe_file(f"{ROOT}/.lock-1", second._content())
        else:
            second._beat += 1
            plain.pipe_file(f"{ROOT}/.lock-1", second._content())

    first.meanwhile = overwritten
    with pytest.raises(StoreError, match="another byrote"):
        first.take()
    assert first.holder().facts["owner"] == second.owner


def test_a_half_written_beat_is_no_loss(fs: Any):
    owner = Watcher(fs)
    owner.take()
    fs.pipe_file(f"{ROOT}/.lock-1", b'{"own')
    owner.check()
    owner.beat()
    assert json.loads(fs.cat_file(f"{ROOT}/.lock-1"))["beat"] == 1


def test_of_many_writers_at_one_moment_one_gets_a_run_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("byrote.store.remote_lock.BEAT", 0.05)
    disk, start, over = fsspec.filesystem("file"), threading.Barrier(6), threading.Event()
    held, refused = list[RemoteLock](), list[str]()

    def race() -> None:
        lock = RemoteLock(disk, str(tmp_path), f"file://{tmp_path}")
        start.wait()
        try:
            lock.take()
        except StoreError as error:
            refused.append(str(error))
            if len(refused) == 5:
                over.set()
            return
        held.append(lock)
        while not over.wait(0.005):
            lock.beat()

    threads = [threading.Thread(target=race) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (len(held), len(refused)) == (1, 5)
