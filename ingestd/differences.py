"""Pure. What may not agree between folders, catalog and derived files, and how it is mended."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from ingestd.screen import plain

LISTED = 1000  #: so many of one kind are named; all are counted


class Mend(StrEnum):
    """How a difference is mended."""

    NOT = "not"  #: a person must decide
    READ = "read"  #: the file is read as if it had just come
    READ_ANEW = "read_anew"  #: the same, and all its rows are written anew
    GONE = "gone"  #: the ledger says that the file is gone
    REDO = "redo"  #: the series is stacked and judged again
    PICTURE = "picture"  #: its thumbnail is made again
    FORGET = "forget"  #: rows that speak of nothing are deleted
    DELETE = "delete"  #: a derived file that no row names is deleted
    VIEWS = "views"  #: the views are made anew


class Kind(NamedTuple):
    """One way in which things may differ."""

    meaning: str
    do: str  #: what a person can do
    mend: Mend


#: Every kind; docs/audit.md has a heading for each.
KINDS = {
    "file_without_row": Kind(
        "a file that the catalog does not know", "it is read at the next sweep", Mend.READ
    ),
    "row_without_file": Kind(
        "the catalog knows a file that is not there",
        "put it back, or let the sweeps call it gone",
        Mend.GONE,
    ),
    "file_changed": Kind(
        "size or time of a file are not the catalog's", "it is read at the next sweep", Mend.READ
    ),
    "digest_wrong": Kind(
        "the bytes of a file are not those that were cataloged, its size and time are",
        "restore the file, or touch it to have it read as it is now",
        Mend.NOT,
    ),
    "file_unread": Kind("a file could not be read", "mend what keeps it from being read", Mend.NOT),
    "rows_differ": Kind(
        "the file, read again, gives other rows than the catalog has",
        "an older program wrote them, or somebody changed them",
        Mend.READ_ANEW,
    ),
    "instance_without_file": Kind(
        "an instance whose file has no row", "scan its folder", Mend.READ
    ),
    "file_without_instance": Kind(
        "a cataloged file without its instance", "have it read again", Mend.READ_ANEW
    ),
    "conflict_without_rival": Kind(
        "a file in conflict with no other", "have it read again", Mend.READ_ANEW
    ),
    "instance_of_another_file": Kind(
        "the file of an instance holds something else",
        "find the file of the instance and put it into a drop folder",
        Mend.NOT,
    ),
    "instance_without_tags": Kind(
        "an instance without elements", "have its file read again", Mend.READ_ANEW
    ),
    "tags_without_instance": Kind("elements of no instance", "they may go", Mend.FORGET),
    "elements_of_no_attribute": Kind(
        "elements of which nothing says what they are", "have its file read again", Mend.READ_ANEW
    ),
    "series_without_state": Kind("a series that nobody follows", "have it judged", Mend.REDO),
    "state_without_instances": Kind(
        "a series that has no instance any more", "its rows may go", Mend.FORGET
    ),
    "slice_of_no_instance": Kind(
        "a slice of a volume names no instance of its series", "stack it again", Mend.REDO
    ),
    "slices_not_as_the_volume": Kind(
        "the slices of a volume are not those of its shape", "stack it again", Mend.REDO
    ),
    "thumbnail_missing": Kind(
        "the catalog names a thumbnail that is not there", "it is made again", Mend.PICTURE
    ),
    "thumbnail_orphan": Kind("a thumbnail that no row names", "it may go", Mend.DELETE),
    "volume_missing": Kind(
        "the catalog names a volume that is not there, or not whole", "stack it again", Mend.REDO
    ),
    "volume_damaged": Kind(
        "the content of a volume is not what its name says", "stack it again", Mend.REDO
    ),
    "volume_orphan": Kind("a volume that no row names", "it may go", Mend.DELETE),
    "part_left": Kind("an unfinished file that nobody works on", "it may go", Mend.DELETE),
    "stranger": Kind(
        "something in the state folder that is not ours", "put it elsewhere", Mend.NOT
    ),
    "view_broken": Kind(
        "a view of the catalog is missing or cannot be asked", "make it anew", Mend.VIEWS
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that does not agree."""

    kind: str
    root: str | None = None  #: as `file.root`; None for what lies in the state folder
    path: str | None = None  #: below the root, or below the state folder
    uid: str | None = None
    detail: str | None = None

    @property
    def about(self) -> tuple[str | None, ...]:
        """What it is about: found again with other words, it is the same."""
        place = self.root, self.path, self.uid
        return place if any(place) else (self.detail,)

    @property
    def mend(self) -> Mend:
        """How it is mended."""
        return KINDS[self.kind].mend


@dataclass(slots=True)
class Found:
    """All that was found: counted in full, named up to a limit; and what could not be compared."""

    counts: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[Difference]] = field(default_factory=dict)
    compared: Counter[str] = field(default_factory=Counter)  #: what -> how many
    arriving: int = 0  #: files that are just coming; nothing is said of them
    unproven: list[str] = field(default_factory=list)  #: what could not be compared, and why
    not_again: Counter[str] = field(default_factory=Counter)  #: found before, and not read since

    def unnamed(self, kind: str) -> int:
        """Count those that are not named."""
        return self.counts[kind] - len(self.named.get(kind, ()))

    def add(self, some: Iterable[Difference]) -> None:
        """Take differences in."""
        for one in some:
            self.counts[one.kind] += 1
            named = self.named.setdefault(one.kind, [])
            if len(named) < LISTED:
                named.append(one)


def summary(first: Found, left: Found | None) -> dict[str, Any]:
    """Say what was found, and what of it is left after it was mended; None: nothing was mended."""
    still = {
        kind: {one.about for one in named} for kind, named in (left.named if left else {}).items()
    }

    def mended(one: Difference) -> bool | None:
        """Nobody knows where not all that is left of its kind is named."""
        named = still.get(one.kind, set())
        if left is None:
            return None
        if one.about in named:
            return False
        return None if left.unnamed(one.kind) else True

    rows: list[dict[str, Any]] = []
    for kind, named in first.named.items():
        about = {"do": KINDS[kind].do, "repair": str(KINDS[kind].mend)}
        rows += [asdict(one) | about | {"mended": mended(one)} for one in named]
    unproven = [*first.unproven, *(left.unproven if left else [])]
    return {
        "compared": dict(first.compared),
        "arriving": first.arriving,
        "found": dict(first.counts),
        "left": dict(first.counts if left is None else left.counts + left.not_again),
        "repaired": left is not None,
        "differences": rows,
        "not_listed": first.counts.total() - len(rows),
        "unproven": list(dict.fromkeys(unproven)),
    }


def is_proven(said: dict[str, Any]) -> bool:
    """Whether everything agrees now, and everything was compared."""
    return not said["left"] and not said["unproven"]


def as_text(said: dict[str, Any]) -> str:
    """Write a summary for people: what was compared, each difference, and what to do."""
    compared = ", ".join(f"{count} {what}" for what, count in said["compared"].items())
    lines = [f"compared   {compared}"]
    if said["arriving"]:
        lines.append(f"arriving   {said['arriving']} files; nothing is said of them yet")
    lines += [f"unproven   {plain(why)}" for why in said["unproven"]]
    for kind, count in said["found"].items():
        left = said["left"].get(kind, 0)
        told = f"{count - left} of {count} mended" if said["repaired"] else f"{count}"
        lines += ["", f"{kind}: {KINDS[kind].meaning}: {told}"]
        if left:
            lines.append(f"    -> {KINDS[kind].do}{_repairs(kind, repaired=said['repaired'])}")
        lines += [_line(one) for one in said["differences"] if one["kind"] == kind]
    if said["not_listed"]:
        lines.append(f"    ... and {said['not_listed']} more that are counted, not listed")
    if not said["found"]:
        lines.append("no difference")
    return "\n".join(lines)


def _repairs(kind: str, *, repaired: bool) -> str:
    if KINDS[kind].mend is Mend.NOT:
        return "; --repair cannot mend it"
    return "; it may take longer, audit once more" if repaired else "; --repair does"


def _line(one: dict[str, Any]) -> str:
    place = "/".join(part for part in (one["root"], one["path"]) if part)
    words = [place, one["uid"] or "", one["detail"] or ""]
    mended = {None: "", True: "mended", False: "left"}[one["mended"]]
    return "    " + "  ".join(plain(word) for word in (*words, mended) if word)


def split(some: Sequence[Difference]) -> dict[Mend, list[Difference]]:
    """Sort differences by how they are mended."""
    sorted_by: dict[Mend, list[Difference]] = {}
    for one in some:
        sorted_by.setdefault(one.mend, []).append(one)
    return sorted_by
