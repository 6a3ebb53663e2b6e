# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
"""The lock of a run on a remote file system: one writer at a time, wherever it runs.

The lock is the object `.lock-N` with the highest number N: its owner, host and process, and a beat that the owner
counts up every few seconds. Who takes the lock creates number N + 1, which a file system lets one writer do where it
has conditional writes (S3's If-None-Match, O_EXCL); elsewhere the object is written, and read back after a moment.
Nothing compares clocks: an owner is dead when its beat has not changed for a while by the watcher's own monotonic
clock. A free lock is an object too, so that numbers only rise.
"""

import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from byrote.errors import StoreError

BEAT = 5.0  # seconds between two beats
DEAD = 60.0  # seconds without a beat after which an owner is dead
SETTLE = 2.0  # seconds until a lock is read back where nothing creates objects conditionally
_PREFIX = ".lock-"
_CONDITIONAL = {"s3", "s3a", "gs", "gcs", "memory"}  # their `pipe_file` creates an object that is not there, or fails
_LOCAL = {"file", "local"}  # whose `pipe_file` looks and then writes; its `open` leaves that to the system


class Holder(NamedTuple):
    """The lock with the highest number. facts: what its object holds, nothing where it was half-written."""

    number: int
    facts: Mapping[str, Any]

    @property
    def free(self) -> bool:
        """Whether nobody holds the run."""
        return self.number == 0 or bool(self.facts.get("released"))

    @property
    def words(self) -> str:
        """`process 12 on host`."""
        return f"process {self.facts.get('process', 'unknown')} on {self.facts.get('host', 'an unknown host')}"


class RemoteLock:
    """The lock of the run at `root` of a file system of fsspec; `url` is what its user calls it.

    clock, sleep: seconds that only go forward, and a wait; tests give their own.
    """

    def __init__(
        self,
        fs: Any,
        root: str,
        url: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._fs, self._root, self._url = fs, root, url
        self._clock, self._sleep = clock, sleep
        self.owner, self._host = secrets.token_hex(16), socket.gethostname()
        self._number, self._beat = 0, 0
        self._seen: tuple[Holder, float] | None = None
        self.lost = False

    def take(self, dead: str | None = None, say: Callable[[str], None] = lambda _text: None) -> None:
        """Take the lock. dead: an owner on this host that the caller knows to be dead · say: is told of a wait.

        StoreError where a living owner holds it.
        """
        while True:
            holder = self.holder()
            known_dead = holder.facts.get("owner") == dead and holder.facts.get("host") == self._host
            if not holder.free and not known_dead:
                self._wait_for(holder, say)
                if self.holder().number != holder.number:
                    continue
            if self._create(holder.number + 1):
                if self.holder().number == self._number:
                    break
                self._remove(self._number)  # others have come and gone since this owner looked
        for number in self._numbers():
            if number < self._number:
                self._remove(number)

    def beat(self) -> None:
        """Say that the owner lives. StoreError where the lock was lost."""
        self.check()
        self._beat += 1
        self._fs.pipe_file(self._path(self._number), self._content())

    def check(self) -> None:
        """StoreError where another owner has taken the lock over."""
        if not self.lost:
            holder = self.holder()
            half_written = holder.number == self._number and not holder.facts
            self.lost = not half_written and (holder.number, holder.facts.get("owner")) != (self._number, self.owner)
            if self.lost and holder.number > self._number:
                self._remove(self._number)  # a beat may have written it anew
        if self.lost:
            raise StoreError(
                f"another byrote has taken over {self._url} while this one could not be heard; this one writes no more"
            )

    def release(self) -> None:
        """Leave the run to the next writer."""
        if not self.lost:
            self._fs.pipe_file(self._path(self._number), self._content(released=True))

    def holder(self) -> Holder:
        """Who holds the lock, or held it last."""
        for _ in range(10):  # the highest is removed only once there is a higher one
            number = max(self._numbers(), default=0)
            if number == 0:
                return Holder(0, {})
            try:
                return Holder(number, json.loads(self._fs.cat_file(self._path(number))))
            except FileNotFoundError:
                continue
            except ValueError:  # it is being written
                return Holder(number, {})
        raise StoreError(f"the lock of {self._url} changes too fast to be read; try again")

    def living(self) -> str | None:
        """The owner in words; None where nobody holds the lock, or the owner has not changed its beat for DEAD seconds
        of looks by this object."""
        holder = self.holder()
        if self._seen is None or self._seen[0] != holder:
            self._seen = holder, self._clock()
        return None if holder.free or self._clock() - self._seen[1] >= DEAD else holder.words

    def _wait_for(self, holder: Holder, say: Callable[[str], None]) -> None:
        """Returns when the owner is dead or has let go."""
        say(f"{self._url} was held by {holder.words}; waiting up to {DEAD:.0f} seconds to see whether it lives")
        begun = self._clock()
        while self._clock() - begun < DEAD:
            self._sleep(BEAT / 5)
            now = self.holder()
            if now.free:
                return
            if now != holder:
                words = (now if now.facts else holder).words
                raise StoreError(
                    f"another byrote ({words}) is writing to {self._url}; wait for it, or name another --out"
                )

    def _create(self, number: int) -> bool:
        """Whether this owner, and no other, made the object of that number."""
        path, self._number, self._beat = self._path(number), number, 0
        kinds = {self._fs.protocol} if isinstance(self._fs.protocol, str) else set(self._fs.protocol)
        try:
            if kinds & _LOCAL:
                with self._fs.open(path, "xb") as file:
                    file.write(self._content())
                return True
            if kinds & _CONDITIONAL:
                self._fs.pipe_file(path, self._content(), mode="create")
                return True
        except FileExistsError:
            return False
        except OSError as error:
            if "ConditionalRequestConflict" in str(error):  # S3: another one is being created at this moment
                return False
            raise
        if number in self._numbers():
            return False
        self._fs.pipe_file(path, self._content())
        self._sleep(SETTLE)
        return self.holder().facts.get("owner") == self.owner

    def _content(self, released: bool = False) -> bytes:
        facts = {"owner": self.owner, "host": self._host, "process": os.getpid(), "beat": self._beat}
        return json.dumps({**facts, "released": released}).encode()

    def _numbers(self) -> list[int]:
        self._fs.invalidate_cache()
        try:
            names = [path.rsplit("/", 1)[-1] for path in self._fs.ls(self._root, detail=False)]
        except FileNotFoundError:
            return []
        numbers = [name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX)]
        return [int(number) for number in numbers if number.isdigit()]

    def _path(self, number: int) -> str:
        return f"{self._root}/{_PREFIX}{number}"

    def _remove(self, number: int) -> None:
        with suppress(FileNotFoundError):  # another owner swept it away
            self._fs.rm_file(self._path(number))
