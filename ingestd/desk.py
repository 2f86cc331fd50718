"""Edge: where questions wait their turn: a few at a time, each within time and memory.

Whoever asks is told in time, also when DuckDB is in a step that heeds no interrupt. Such a
question is left to end by itself; its place is given to another, as long as few are so.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from ingestd import config, sqlgate
from ingestd.catalog import Catalog
from ingestd.headroom import Headroom
from ingestd.log import get_logger
from ingestd.question import TOO_MUCH, Question
from ingestd.spool import Form, Limits, Refused, Spool

log = get_logger()

QUERIES = 4  #: so many at once; the others wait
ANSWERS = 12  #: so many at once that are computed or being sent
WAITING = 64  #: who comes when so many wait is told to come again
STUCK = 4  #: so many that heed no interrupt may run beside QUERIES others
GRACE_S = 2.0  #: how long a question may take to heed an interrupt, before its place is given away
LOOK_S = 0.05  #: how often memory is looked at while questions run
EASE_S = 0.5  #: how long memory may take to come down after one was stopped
STOPPING = "stopping", "the daemon stops; ask again when it is up"
GONE = "gone", "nobody waits for the answer"


class Desk:
    """All of it runs in one event loop; only the questions run in threads.

    growth_bytes  what this process may take more while questions run than before; see Headroom
    """

    def __init__(self, catalog: Catalog, limits: config.Sql, *, growth_bytes: int) -> None:
        self._catalog, self._limits = catalog, limits
        self._headroom = Headroom(growth_bytes)
        self._names = sqlgate.Known(catalog.rows)
        self._folder = catalog.state / "tmp"
        self._folder.mkdir(exist_ok=True)
        self._answers, self._places = asyncio.Semaphore(ANSWERS), asyncio.Semaphore(QUERIES)
        self._waiting = self._sending = 0
        self._running: set[Question] = set()
        self._stuck: set[Question] = set()
        self._chores: set[asyncio.Task[None]] = set()
        self.outcomes = Counter[str]()  #: since the start: `answered`, or the word of an error

    def status(self) -> dict[str, Any]:
        """Say how many questions there are."""
        return {
            "running": len(self._running),
            "waiting": self._waiting,
            "sending": self._sending,
            "stuck": len(self._stuck),
            **dict(sorted(self.outcomes.items())),
        }

    def configure(self, limits: config.Sql) -> None:
        """Go by other limits from the next question on."""
        self._limits = limits

    def stop(self) -> None:
        """Have all questions end soon."""
        for question in (*self._running, *self._stuck):
            question.stop(STOPPING)

    @asynccontextmanager
    async def answer(
        self, sql: str, form: Form, gone: "asyncio.Task[None]"
    ) -> AsyncIterator[Spool]:
        """Answer a question, unless who asked is `gone` before; hold it until it was sent.

        raises  Refused; IngestError when the catalog cannot be asked
        """
        try:
            await self._turn(self._answers, gone)
            try:
                answer = await self._computed(Question(sql, form, self._size), gone)
                self.outcomes["answered"] += 1
                self._sending += 1
                try:
                    yield answer
                finally:
                    self._sending -= 1
                    answer.close()
            finally:
                self._answers.release()
        except Refused as refused:
            self.outcomes[refused.error] += 1
            raise

    @property
    def _size(self) -> Limits:
        return Limits(self._limits.rows, self._limits.bytes)

    async def _turn(self, places: asyncio.Semaphore, gone: "asyncio.Task[None]") -> None:
        """Wait for a place, not for ever, and not for somebody who has gone."""
        if self._waiting >= WAITING:
            raise Refused("busy", f"{WAITING} questions wait already; ask again later")
        self._waiting += 1
        place = asyncio.ensure_future(places.acquire())
        either: set[asyncio.Future[Any]] = {place, gone}
        try:
            wait_s = self._limits.deadline_s
            await asyncio.wait(either, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting -= 1
            if not place.done():
                place.cancel()
        if not place.done():
            if gone.done():
                raise Refused(*GONE)
            words = f"no place was free within {self._limits.deadline_s:g} s; ask again later"
            raise Refused("busy", words)

    async def _computed(self, question: Question, gone: "asyncio.Task[None]") -> Spool:
        await self._turn(self._places, gone)
        try:
            if not self._running and not self._stuck:
                self._headroom.begin()
            done = self._begin(question)
        except BaseException as error:
            self._places.release()
            if isinstance(error, RuntimeError | MemoryError):  # No room for one more thread.
                self._ease()
                raise Refused(*TOO_MUCH) from None
            raise
        if not self._running:
            self._chore(self._watch_memory())
        self._running.add(question)
        try:
            return await self._in_time(question, done, gone)
        finally:
            self._running.discard(question)
            if done.done():
                self._places.release()
                self._ease()
            else:
                self._leave(question, done)

    def _begin(self, question: Question) -> "asyncio.Future[Spool]":
        """Run a question in a thread; give its answer to be."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Spool] = loop.create_future()

        def run() -> None:
            try:
                answer = question.answer(self._catalog, self._names, self._folder)
            except BaseException as error:  # noqa: BLE001 -- told to whoever waits for it
                tell(done.set_exception, error)
            else:
                tell(done.set_result, answer)

        def tell(how: Any, what: Any) -> None:
            with suppress(RuntimeError):  # The loop has ended, and nobody waits.
                loop.call_soon_threadsafe(how, what)

        threading.Thread(target=run, name="question", daemon=True).start()
        return done

    async def _in_time(
        self,
        question: Question,
        done: "asyncio.Future[Spool]",
        gone: "asyncio.Task[None]",
    ) -> Spool:
        """Wait for the answer; at the deadline, or when nobody waits for it, stop the question."""
        deadline_s = self._limits.deadline_s
        either: set[asyncio.Future[Any]] = {done, gone}
        try:
            await asyncio.wait(either, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            question.stop(STOPPING)
            raise
        if done.done():
            return done.result()
        late = "deadline", f"stopped after {deadline_s:g} s; ask for less"
        why = GONE if gone.done() else late
        until_s = time.monotonic() + GRACE_S
        while not done.done() and time.monotonic() < until_s:
            question.stop(why)
            await asyncio.wait({done}, timeout=0.1)
        if done.done():
            return done.result()
        raise Refused(*why)

    def _leave(self, question: Question, done: "asyncio.Future[Spool]") -> None:
        """Let a question that heeds no interrupt go on until its step ends."""
        self._stuck.add(question)
        log.warning("question_stuck", stuck=len(self._stuck))
        given_away = len(self._stuck) <= STUCK
        if given_away:
            self._places.release()
        self._chore(self._end(question, done, given_away=given_away))

    async def _end(
        self, question: Question, done: "asyncio.Future[Spool]", *, given_away: bool
    ) -> None:
        """Wait until a stuck question has ended, whatever came of it."""
        assert question.why is not None, "nobody stopped it"
        while not done.done():
            question.stop(question.why)
            await asyncio.wait({done}, timeout=1.0)
        self._stuck.discard(question)
        self._ease()
        log.info("question_ended", after_s=round(time.monotonic() - question.began_s, 1))
        if not given_away:
            self._places.release()
        if done.exception() is None:
            done.result().close()

    def _ease(self) -> None:
        if not self._running and not self._stuck:
            self._headroom.end()

    async def _watch_memory(self) -> None:
        """Stop the newest question while there is too much in memory: it is the likely cause."""
        while self._running:
            if self._headroom.is_used_up:
                going = [question for question in self._running if question.why is None]
                if going:
                    max(going, key=lambda question: question.began_s).stop(TOO_MUCH)
                await asyncio.sleep(EASE_S)
            await asyncio.sleep(LOOK_S)

    def _chore(self, work: Any) -> None:
        """Do something beside; the loop itself would forget it."""
        task = asyncio.get_running_loop().create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
