"""Wiring. Takes files out of one root when the config asks for it: to the archive, to quarantine.

The order is the promise. A file is copied, the copy synced and read back; its name is synced; the
catalog says where it is; then, and only if nobody wrote to it meanwhile, the file in the drop
folder is unlinked. Whatever crashes in between, the next round finds in the ledger what is left to
do. docs/decisions/0005-take.md tells of each step.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ingestd import config
from ingestd.catalog import Catalog
from ingestd.errors import IngestError
from ingestd.later import Later
from ingestd.log import get_logger
from ingestd.source import Changed, Version, opened, unlink
from ingestd.store import Kept, Occupied, Store
from ingestd.sweep import SHARE_TROUBLE
from ingestd.takebook import Due, TakeBook, note

log = get_logger()

BATCH = 128  #: files that are copied before the catalog hears of them
ASK_S = 60.0  #: the ledger is asked at least so often: a wake is a hint
HALT_S = 5.0  #: pause between two tries to write to a store in trouble
LEFT_FILES = 10_000  #: so many files may wait for another try; beyond that the root rests


class Left(Exception):
    """A file stays where it is, for now; the message says why, without its name."""


@dataclass(frozen=True, slots=True)
class _Put:
    """A file that stands in a store."""

    due: Due
    kept: Kept
    version: Version  #: of the file that was copied


class Taker:
    """One thread that takes the files of one root; a share that hangs holds up no other."""

    def __init__(
        self,
        root: config.Root,
        catalog: Catalog,
        retry: config.Retry,
        *,
        archive: Store | None,
        quarantine: Store | None,
        halted: Callable[[IngestError], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.root = root.key
        self.halted: IngestError | None = None
        self.why = ""  #: why files stay, when they do
        self.taken = 0  #: files that stand in the archive since the start
        self.put_aside = 0  #: files that stand in the quarantine since the start
        self._root, self._archive, self._quarantine = root, archive, quarantine
        self._book = TakeBook(catalog, root, archive=archive.key if archive else "")
        self._tell_halt, self._failed = halted, failed
        self._later = Later(first_s=retry.first_s, limit_s=retry.limit_s)
        self._told: set[str] = set()
        self._alive_s = time.monotonic()
        self._wake, self._idle, self._stopping = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._run, name=f"taker {self.root}", daemon=True)

    def start(self) -> None:
        """Begin to take; what an earlier run left half done first."""
        self._wake.set()
        self._thread.start()

    def wake(self) -> None:
        """Say that files of this root have an outcome."""
        self._idle.clear()
        self._wake.set()

    def stop(self) -> None:
        """Take no more; the file in hand is finished."""
        self._stopping.set()
        self._wake.set()

    def join(self, within_s: float) -> bool:
        """Wait for the end, and say whether it came; a thread that hangs is left to itself."""
        self._thread.join(max(0.0, within_s))
        return not self._thread.is_alive()

    def finish(self, tick: Callable[[], bool], within_s: float) -> None:
        """Wait until nothing is left, `tick` says to stop, or it got nowhere for `within_s`."""
        self._beat()
        self.wake()
        while tick() and not self._idle.wait(0.1):
            if time.monotonic() - self._alive_s > within_s:
                self.why = f"it hangs: no file could be taken in {within_s:g} s"
                return

    def _beat(self) -> None:
        self._alive_s = time.monotonic()

    @property
    def left(self) -> int:
        """How many files stay where they are, and are tried again."""
        return len(self._later)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._later.next_s(time.monotonic(), ASK_S))
            self._wake.clear()
            try:
                self._round()
                self._resumed()
            except IngestError as error:
                self._halt(error)
            except OSError as error:
                self._rest_awhile(f"the root: {error.strerror}")
            except Exception as error:
                log.exception("thread_failed", thread=threading.current_thread().name)
                self._failed(error)
                return
            if not self._wake.is_set():
                self._idle.set()

    def _round(self) -> None:
        """Take everything that can be taken now.

        raises  IngestError when a store or the catalog is in trouble, OSError when the root is
        """
        began_s = time.monotonic()
        if self._later.rests(began_s):
            return
        self._look_at_root()
        for store, ask, refused in (
            (self._archive, self._book.to_keep, False),
            (self._quarantine, self._book.to_put_aside, True),
        ):
            if store is None:
                continue
            prepared = False
            while not self._stopping.is_set():
                due = ask(self._later.not_yet(time.monotonic()), BATCH)
                if not due:
                    break
                if not prepared:
                    store.prepare(is_known=self._book.knows(store.key))
                    prepared = True
                self._take(due, store, refused=refused)
                if len(self._later) > LEFT_FILES:
                    self._rest_awhile(self.why)
                    return
        self._later.went_through(began_s)
        if not self._later and self.why:
            self.why = ""
            self._told.clear()
            self._book.tell("take_resumed", "")

    def _look_at_root(self) -> None:
        """See that the root is there, and can be taken from.

        raises  OSError
        """
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if self._root.empties and os.fstatvfs(handle).f_flag & os.ST_RDONLY:
                raise OSError(errno.EROFS, "it is mounted read-only; its files stay")
        finally:
            os.close(handle)

    def _take(self, due: Sequence[Due], store: Store, *, refused: bool) -> None:
        """Take some files, one step after the other for all of them.

        raises  IngestError when the store is in trouble, after what stands there was written down
        """
        put: list[_Put] = []
        away: list[Due] = []
        trouble: IngestError | None = None
        try:
            try:
                self._put_all(due, store, put, away, refused=refused)
            except IngestError as error:
                trouble = error
            store.settle()
            safe = self._write_down(put, store, refused=refused) if put else []
        finally:
            store.release(one.to for one in due)
        if refused or self._root.take == "move":
            out = [*away, *self._unlinked(safe)]
            if out:
                self._book.taken_away(out, refused=refused)
        self._count(safe, refused=refused)
        if trouble is not None:
            raise trouble

    def _put_all(
        self, due: Sequence[Due], store: Store, put: list[_Put], away: list[Due], *, refused: bool
    ) -> None:
        """Copy files to their store, into `put`; what a crash had left unsaid goes to `away`."""
        for one in due:
            if self._stopping.is_set():
                return
            if not one.to or not store.claim(one.to):  # Another root's thread has the instance.
                self._leave(one, "not just now", tell=False)
                continue
            try:
                put.append(self._put(one, store, refused=refused))
            except FileNotFoundError:
                if one.is_kept:
                    away.append(one)
                else:
                    self._leave(one, "it is not there any more", tell=False)
            except (Left, Changed, Occupied, OSError) as error:
                self._trouble(one, error)

    def _write_down(self, put: Sequence[_Put], store: Store, *, refused: bool) -> list[_Put]:
        """Let the catalog say where files are; give those that were still what was copied."""
        held = self._book.keep([(one.due, one.kept) for one in put], store.key, refused=refused)
        safe = [one for nth, one in enumerate(put) if nth in held]
        kept = {one.kept.path for one in safe}
        for nth, one in enumerate(put):
            if nth in held:
                continue
            self._leave(one.due, "it was read anew meanwhile", tell=False)
            if one.kept.is_new and one.kept.path not in kept:
                store.take_back(one.kept.path)
        return safe

    def _put(self, due: Due, store: Store, *, refused: bool) -> _Put:
        """Copy one file to its store.

        raises  OSError, Changed, Occupied, Left; IngestError when the store is in trouble
        """
        look = {"size_bytes": due.size_bytes, "mtime": due.mtime_ns}
        with opened(self.root, due.path, **look, beat=self._beat) as source:
            if (refused or self._root.take == "move") and not source.can_be_unlinked:
                raise Left("its folder cannot be written")
            kept = store.put(source, due.to, digest=due.digest)
            put = _Put(due, kept, source.version)
        if refused and not due.is_kept:
            store.publish(f"{due.to}.json", note(self.root, due, kept))
        return put

    def _unlinked(self, put: Sequence[_Put]) -> list[Due]:
        """Take files out of the drop folder whose bytes are safe; give those that are out."""
        out = []
        for one in put:
            try:
                unlink(self.root, one.due.path, one.version)
            except FileNotFoundError:  # Somebody else took it away: it is safe all the same.
                out.append(one.due)
            except (Changed, OSError) as error:
                self._trouble(one.due, error)
            else:
                out.append(one.due)
        return out

    def _trouble(self, due: Due, error: Exception) -> None:
        """Leave a file where it is, unless the share is the trouble.

        raises  OSError
        """
        if isinstance(error, Occupied):
            words = "other bytes stand under its name in the store"
            if self._leave(due, words, tell=True) == 1:
                self._book.tell("store_conflict", due.path)
        elif isinstance(error, OSError):
            if error.errno in SHARE_TROUBLE:
                raise error
            link = error.errno in (errno.ELOOP, errno.ENOTDIR)
            self._leave(due, "a link stands in its way" if link else str(error.strerror), tell=True)
        else:
            self._leave(due, str(error), tell=isinstance(error, Left))

    def _leave(self, due: Due, why: str, *, tell: bool) -> int:
        """Try a file again, later and later; say each reason once."""
        if tell:
            self._say(why, due.path)
        return self._later.leave(due.path, time.monotonic())

    def _rest_awhile(self, why: str) -> None:
        """Leave the whole root alone, later and later."""
        self._later.rest(time.monotonic())
        self._say(why, "")

    def _say(self, why: str, path: str) -> None:
        self.why = why
        if why not in self._told:
            self._told.add(why)
            log.warning("not_taken", root=self.root, path=path, why=why)
            self._book.tell("take_held", why)

    def _count(self, safe: Sequence[_Put], *, refused: bool) -> None:
        if refused:
            self.put_aside += len(safe)
        else:
            self.taken += len(safe)
        if safe:
            log.info("put_aside" if refused else "taken", root=self.root, files=len(safe))

    def _halt(self, error: IngestError) -> None:
        """Wait: our own disk or catalog is in trouble; everything stays where it is."""
        if self._stopping.is_set():
            return
        if self.halted is None:
            log.error("halted", reason=str(error.reason), detail=error.detail)
        self.halted = error
        self._tell_halt(error)
        self._stopping.wait(HALT_S)
        self._wake.set()

    def _resumed(self) -> None:
        if self.halted is not None:
            log.info("resumed", root=self.root)
            self.halted = None
