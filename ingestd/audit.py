"""Wiring. `ingestd audit`: folders, catalog and derived files are compared, row by row.

First everything once; then, when it was asked for, what was found is mended, and compared again,
until nothing is left or nothing gets better. What cannot be reached is called unproven, not
missing.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ingestd import volumefiles
from ingestd.bytecheck import ByteCheck
from ingestd.derivedcheck import THUMBNAILS, DerivedCheck
from ingestd.differences import KINDS, Difference, Found, summary
from ingestd.foldercheck import FolderCheck, Place
from ingestd.hands import Hands
from ingestd.mend import Mender
from ingestd.rowcheck import rows_disagree

WAIT_S = 1.0  #: the first pause before what was mended is compared again; it doubles
BETTER_S = 60.0  #: when nothing got better for so long, what is left is left

FOLDERS = frozenset({"file_without_row", "row_without_file", "file_changed"})
PICTURES = frozenset({"thumbnail_missing", "thumbnail_orphan", "part_left", "stranger"})
VOLUMES = frozenset({"volume_missing", "volume_orphan", "part_left", "stranger"})
BYTES = frozenset({"digest_wrong", "file_unread", "rows_differ"})
DERIVED = PICTURES | VOLUMES

Tell = Callable[[str, int, int | None], None]
Differences = Iterator[Sequence[Difference]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One audit, with whoever is at work."""

    hands: Hands
    tell: Tell
    stopping: Callable[[], bool]
    sample: int | None = None  #: so many files and volumes are read, by chance; None: all
    repair: bool = False

    def run(self, kinds: Collection[str] = frozenset(KINDS)) -> dict[str, Any]:
        """Compare, mend when that was asked for, and say what came of it.

        raises  IngestError when the catalog halts
        """
        first = self._compare(kinds, self._mender() if self.repair else None)
        left = None
        if self.repair:
            left = self._compare_again(first) if first.counts else Found()
        said = summary(first, left)
        if self.stopping():
            said["unproven"].append("it was stopped before its end")
        return said

    def mend_once(self, kinds: Collection[str]) -> Found:
        """Compare, begin to mend what can be mended, and wait for nothing.

        raises  as `run`
        """
        return self._compare(kinds, self._mender())

    def _mender(self) -> Mender:
        settings = self.hands.works.settings
        return Mender(
            self.hands,
            grace_s=settings.derived.orphan_grace_s,
            brake_percent=settings.sweep.gone_brake_percent,
        )

    def _compare_again(self, first: Found) -> Found:
        """Wait until what was mended shows, as long as it gets better."""
        wait_s, best = WAIT_S, first.counts.total() + 1
        until_s = time.monotonic() + BETTER_S
        while True:
            self._pause(wait_s)
            began_s = time.monotonic()
            left = self._compare(frozenset(first.counts), None, again=first)
            count = left.counts.total()
            now_s = time.monotonic()
            if count < best:
                best, until_s = count, now_s + BETTER_S
            if not count or not self._can_mend(left) or now_s > until_s or self.stopping():
                return self._with_unread(first, left)
            wait_s = max(2 * wait_s, 2 * (now_s - began_s))

    def _with_unread(self, first: Found, left: Found) -> Found:
        """Call left what was not read once more: of bytes, only what is named is."""
        for kind in sorted(BYTES | {"volume_damaged"}):
            if count := first.unnamed(kind):
                left.not_again[kind] = count
                left.unproven.append(f"{count} of {kind} were not read again; audit once more")
        return left

    def _can_mend(self, left: Found) -> bool:
        return any(KINDS[kind].mend != "not" for kind in left.counts)

    def _pause(self, wait_s: float) -> None:
        until_s = time.monotonic() + wait_s
        while time.monotonic() < until_s and not self.stopping():
            self.tell("mending", 0, None)
            time.sleep(min(0.2, wait_s))

    def _compare(
        self, kinds: Collection[str], mender: Mender | None, again: Found | None = None
    ) -> Found:
        """Compare what may show differences of these kinds.

        again  what was found before: of bytes, only that is read once more
        """
        found = Found()
        places = self.hands.places()
        for differences in self._all(frozenset(kinds), places, found, again):
            some = [one for one in differences if one.kind in kinds]
            found.add(some)
            if mender is not None and some:
                mender.mend(some)
            if self.stopping():
                break
        return found

    def _all(
        self, kinds: frozenset[str], places: Sequence[Place], found: Found, again: Found | None
    ) -> Differences:
        works = self.hands.works
        if kinds & FOLDERS:
            for place in places:
                yield from self._folder(place, found)
        yield from rows_disagree(works.catalog, self.tell, kinds)
        for folder, named in ((THUMBNAILS, PICTURES), (volumefiles.FOLDER, VOLUMES)):
            if kinds & named:
                yield from self._derived(folder, found)
        if kinds & (BYTES | {"volume_damaged"}):
            away = [place.root for place in places if place.unreachable]
            yield from self._bytes(kinds, away, found, again)

    def _folder(self, place: Place, found: Found) -> Differences:
        check = FolderCheck(
            catalog=self.hands.works.catalog,
            place=place,
            eyes=self.hands,
            tell=self.tell,
            stopping=self.stopping,
        )
        yield from check.run()
        found.compared["files in folders"] += check.files
        found.arriving += check.arriving
        found.unproven += check.unproven

    def _derived(self, folder: str, found: Found) -> Differences:
        works = self.hands.works
        check = DerivedCheck(
            catalog=works.catalog,
            state=works.state,
            folder=folder,
            grace_s=works.settings.derived.orphan_grace_s,
            tell=self.tell,
            stopping=self.stopping,
        )
        yield from check.run()
        found.compared[f"files in {folder}"] += check.files
        found.unproven += check.unproven

    def _bytes(
        self, kinds: frozenset[str], away: Sequence[str], found: Found, again: Found | None
    ) -> Differences:
        named = again.named if again is not None else {}
        works = self.hands.works
        check = ByteCheck(
            catalog=works.catalog,
            pool=works.pool,
            settings=works.settings,
            state=works.state,
            tell=self.tell,
            without=away,
            sample=self.sample,
            only=None if again is None else [one for kind in BYTES for one in named.get(kind, ())],
            stopping=self.stopping,
        )
        if kinds & BYTES:
            yield from check.run()
            found.compared["files read"] += check.files
            found.unproven += check.unproven
        if "volume_damaged" in kinds:
            check.only = None if again is None else named.get("volume_damaged", [])
            yield from check.run_volumes()
            found.compared["volumes read"] += check.volumes
