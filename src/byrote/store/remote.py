# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""A run at an fsspec URL, and the working copy of it on this machine that everything reads and writes.

What the remote folder has and the copy lacks or has otherwise is fetched when a run is opened; whoever holds the run
sends what changes, a stage's files first and its manifest last, so that a stage is finished there when its manifest is.
Adapter weights are fetched when a model is opened with them. The copy keeps in `.remote.json` which version of each
file it has, and which it has left where they are.
"""

import fcntl
import json
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from byrote.cache import cache_folder
from byrote.errors import StageError, StoreError
from byrote.store import remote_lock
from byrote.store.draft import ADAPTER, no_room
from byrote.store.file_systems import file_system, is_url, line_of, version_of, way_out
from byrote.store.integrity import MANIFEST, changed, damage_of
from byrote.store.links import make_private
from byrote.store.remote_lock import RemoteLock
from byrote.store.working_copy import (
    RECORD,
    Known,
    awaited,
    files,
    finished,
    is_hidden,
    is_weights,
    manifests_last,
    record_of,
    stage_of,
    time_of,
    url_of,
)

SEND_EVERY = 5.0  # seconds between two looks for what is to be sent
_AT_ONCE = 8  # files on their way
_OWNER = ".owner"  # who held the run from this copy last
_PURGED = "purged.json"
_FOLLOWED = ("checkpoints", "failures", "figures")  # what goes from these in the copy goes from the remote folder too


def check_usable(place: str | Path | None) -> None:
    """StoreError where a run's place is a URL that cannot be read and written."""
    if place is not None and is_url(place):
        Mirror(str(place)).try_to_write()


def fetch_adapter(folder: Path, stage: str) -> None:
    """Fetch the weights of a stage's adapter into the working copy, where they have been left in the remote folder.

    StageError where they are not those that were written; the next run does the stage again.
    """
    left = [name for name in awaited(folder, stage) if name.startswith(f"{ADAPTER}/")]
    url = url_of(folder)
    if not left or url is None:
        return
    mirror = Mirror(url, folder)
    mirror.get(f"{stage}/{name}" for name in left)
    written = json.loads((folder / stage / MANIFEST).read_text())["files"]
    reasons = [reason for name in left if (reason := changed(folder / stage / name, written[name]))]
    if reasons:
        raise StageError(f"the adapter at {url}/{stage} is damaged: {reasons[0]}; the next run trains it again")


class Mirror:
    """The remote folder at a URL and its working copy. StoreError where nothing is known of such URLs."""

    def __init__(self, url: str, folder: Path | None = None) -> None:
        self._fs, self._root = file_system(url)
        self.url = url.rstrip("/")
        key = sha256(self._fs.unstrip_protocol(self._root).encode()).hexdigest()[:16]
        self.folder = folder or cache_folder() / "runs" / key
        self._lock = RemoteLock(self._fs, self._root, self.url)
        self._busy = threading.Lock()
        self._known: dict[str, Known] = {}

    def try_to_write(self) -> None:
        """StoreError where the folder cannot be read, written or cleared."""
        probe = f"{self._root}/.probe-{self._lock.owner}"
        with self._reaching():
            self._list()
            self._fs.pipe_file(probe, b"")
            self._fs.rm_file(probe)

    # --- fetching -----------------------------------------------------------------------------------------------

    def fetch(self) -> None:
        """Bring the copy in step with the remote folder. What the copy has and was never sent stays, unless the run was
        purged there; what was taken from there is taken from the copy."""
        make_private(self.folder, self.folder)
        with (self.folder / ".fetching").open("w") as alone, self._reaching():
            fcntl.flock(alone, fcntl.LOCK_EX)
            self._known = dict(record_of(self.folder).known)
            theirs = finished(self._list())
            purged = theirs.get(_PURGED)
            if purged and not self._has(_PURGED, *purged):
                self._drop(name for name in files(self.folder) if name not in theirs)
            self._drop(name for name, was in self._known.items() if name not in theirs and self._unchanged(name, was))
            self._known = {name: was for name, was in self._known.items() if name in theirs}
            wanted = [name for name, (size, version) in theirs.items() if not self._has(name, size, version)]
            left = [name for name in wanted if is_weights(name)]
            self._drop(left)
            for name in wanted:
                self._known.pop(name, None)
            self._known |= {name: Known(*theirs[name], None) for name in left}
            try:
                for names in manifests_last(name for name in wanted if name not in left):
                    self.get(names)
                    self._known |= {name: Known(*theirs[name], time_of(self.folder / name)) for name in names}
            finally:
                self._write_record()

    def get(self, names: Iterable[str]) -> None:
        """Fetch files into the copy, each whole or not there."""
        with self._reaching(), ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._get, names))

    def _get(self, name: str) -> None:
        place = self.folder / name
        make_private(self.folder, place.parent)
        part = place.with_name(f".part-{place.name}")
        part.touch(mode=0o600)
        self._fs.get_file(f"{self._root}/{name}", str(part))
        part.replace(place)

    def _has(self, name: str, size: int, version: str) -> bool:
        """Whether the copy has a version of a file, has left it there, or has a newer one that was not sent yet."""
        was, place = self._known.get(name), self.folder / name
        if was is None or (was.size, was.version) != (size, version):
            return False
        if was.here is None:
            if place.is_file():  # fetched by `fetch_adapter` since
                self._known[name] = was._replace(here=time_of(place))
            return True
        return place.is_file() and (self._unchanged(name, was) or self._is_whole(stage_of(name)))

    def _unchanged(self, name: str, was: Known) -> bool:
        place = self.folder / name
        return place.is_file() and (place.stat().st_size, time_of(place)) == (was.size, was.here)

    def _is_whole(self, stage: str | None) -> bool:
        """Whether a stage of the copy is finished and has the files that were written; so is what is of no stage."""
        if stage is None:
            return True
        try:
            manifest = json.loads((self.folder / stage / MANIFEST).read_text())
        except (OSError, ValueError):
            return False
        known = ((name, was) for name, was in self._known.items() if name.startswith(f"{stage}/"))
        left = {
            name.removeprefix(f"{stage}/"): was.size
            for name, was in known
            if was.here is None and not (self.folder / name).exists()
        }
        return damage_of(self.folder / stage, manifest, weights=True, awaited=left) is None

    def _drop(self, names: Iterable[str]) -> None:
        """Take files out of the copy, and the folders that are empty then."""
        for name in list(names):
            place = self.folder / name
            place.unlink(missing_ok=True)
            for folder in place.parents:
                if folder == self.folder or not folder.is_dir() or any(folder.iterdir()):
                    break
                folder.rmdir()

    # --- sending ------------------------------------------------------------------------------------------------

    @contextmanager
    def held(self, say: Callable[[str], None]) -> Generator[None]:
        """Hold the run, from a copy that the caller holds; send what changes while it is held, and the rest at the end.

        StoreError where another owner lives, and where the last of it cannot be sent: it stays in the copy.
        """
        owner = self.folder / _OWNER
        with self._reaching():
            self._lock.take(owner.read_text() if owner.is_file() else None, say)
        owner.write_text(self._lock.owner)
        over = threading.Event()
        threads = [
            threading.Thread(target=self._again_and_again, args=(over, *work), daemon=True)
            for work in ((self._lock.beat, remote_lock.BEAT, say), (self.send, SEND_EVERY, say))
        ]
        try:
            threads[0].start()
            self.fetch()
            self._sweep()
            threads[1].start()
            try:
                yield
            except BaseException as error:
                try:
                    self.send()
                except StoreError as unsent:
                    error.add_note(str(unsent))
                raise
            try:
                self.send()
            except StoreError as unsent:
                kept = "" if self._lock.lost else f"; it is kept in {self.folder}, and the same command sends it"
                raise StoreError(f"{unsent}{kept}") from unsent
        finally:
            over.set()
            for thread in threads:
                if thread.is_alive():
                    thread.join()
            try:
                with self._reaching():
                    self._lock.release()
            except StoreError as error:
                say(f"{error}; the next run waits {remote_lock.DEAD:.0f} seconds for this one")

    def check(self) -> None:
        """StoreError where another owner was seen to have taken the run over."""
        if self._lock.lost:
            self._lock.check()

    def writer(self) -> str | None:
        """Who holds the run, in words; None where nobody does, or has not been heard for a while."""
        with self._reaching():
            return self._lock.living()

    def send(self) -> None:
        """Send the stages that are finished in the copy, and the other files that are not those that were sent."""
        with self._busy, self._reaching():
            self._lock.check()
            here = files(self.folder)
            new = [name for name, stamp in here.items() if not self._is_sent(name, stamp)]
            whole = {stage: self._is_whole(stage) for stage in {stage_of(name) for name in new}}
            manifests = {f"{stage}/{MANIFEST}" for stage, is_whole in whole.items() if stage and is_whole}
            new = [name for name in new if whole[stage_of(name)] and name not in manifests]
            gone = [name for name in self._known if name.split("/")[0] in _FOLLOWED and name not in here]
            self._take_away([*gone, *manifests])
            for names in manifests_last([*new, *sorted(manifests)]):
                self._lock.check()
                with ThreadPoolExecutor(_AT_ONCE) as pool:
                    sent = dict(zip(names, pool.map(self._put, names), strict=True))
                self._known |= {name: file for name, file in sent.items() if file}
                self._write_record()

    def remove(self, name: str) -> None:
        """Remove a file or a folder of the run from the remote folder, manifests first."""
        with self._busy, self._reaching():
            self._lock.check()
            self._take_away(known for known in self._known if known == name or known.startswith(f"{name}/"))

    def _take_away(self, names: Iterable[str]) -> None:
        known = sorted({name for name in names if name in self._known}, key=lambda name: not name.endswith(MANIFEST))
        for name in known:
            del self._known[name]
        if known:
            self._write_record()  # before it goes: what is not in the record is fetched, whoever else took it away
        for name in known:
            self._rm(name)

    def _rm(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._root}/{name}")

    def _sweep(self) -> None:
        """Take away what a killed writer sent of stages that it did not finish."""
        with self._reaching():
            listed = self._list()
            for name in listed.keys() - finished(listed).keys():
                self._rm(name)

    def _put(self, name: str) -> Known | None:
        """Send a file; None where it has gone since it was seen."""
        place, there = self.folder / name, f"{self._root}/{name}"
        try:
            stamp = time_of(place)
            self._fs.put_file(str(place), there)
        except FileNotFoundError:
            if place.exists():
                raise
            return None
        facts = self._fs.info(there)
        return Known(facts["size"], version_of(facts), stamp)

    def _is_sent(self, name: str, stamp: tuple[int, int]) -> bool:
        was = self._known.get(name)
        if was is not None and was.here is None and was.size == stamp[0]:  # fetched by `fetch_adapter`
            self._known[name] = was = was._replace(here=stamp[1])
        return was is not None and (was.size, was.here) == stamp

    def _again_and_again(
        self, over: threading.Event, work: Callable[[], None], pause: float, say: Callable[[str], None]
    ) -> None:
        """Until the run is over or lost; where it fails, which is said once, it is tried again."""
        is_said = False
        while not over.wait(pause) and not self._lock.lost:
            try:
                with self._reaching():
                    work()
                is_said = False
            except StoreError as error:
                if not is_said and not over.is_set():
                    say(f"{error}; byrote goes on and tries again" if not self._lock.lost else str(error))
                is_said = True

    # --- the remote folder --------------------------------------------------------------------------------------

    def _list(self) -> dict[str, tuple[int, str]]:
        """Path in the run → size and version of every file of the remote folder. StoreError for a path that leads out
        of it."""
        self._fs.invalidate_cache()
        try:
            listed: Mapping[str, Any] = self._fs.find(self._root, detail=True)
        except FileNotFoundError:
            return {}
        names = {path.removeprefix(self._root).lstrip("/"): facts for path, facts in listed.items()}
        names = {name: facts for name, facts in sorted(names.items()) if name and not name.endswith("/")}  # no markers
        for name in names:
            if {"..", ""} & set(name.split("/")):
                raise StoreError(f"{self.url} holds {name!r}, which is no path in a run; remove it there")
        return {name: (facts["size"], version_of(facts)) for name, facts in names.items() if not is_hidden(name)}

    @contextmanager
    def _reaching(self) -> Generator[None]:
        """Whatever a file system raises, as a StoreError of one line."""
        try:
            yield
        except (StoreError, StageError):
            raise
        except Exception as error:  # each file system has errors of its own
            if no_room(error):
                raise StoreError(f"no room left in {self.folder}, the working copy of {self.url}") from error
            raise StoreError(f"cannot use {self.url}: {line_of(error)}{way_out(error)}") from error

    def _write_record(self) -> None:
        part = self.folder / f".part-{RECORD}"
        part.write_text(json.dumps({"url": self.url, "files": self._known}))
        part.replace(self.folder / RECORD)
