"""Edge: what the ledger says of files that are to be taken out of one root, and is told of them.

The ledger is the queue: what is to be taken is asked anew each time, so a crash forgets nothing.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ingestd import config, names, sql
from ingestd.batches import LOOK_UP
from ingestd.catalog import Catalog, utc_now
from ingestd.errors import Reason, Verdict
from ingestd.store import Kept

#: `file.detail` of a file that is, or was, on its way; docs/queries.md names them.
MOVING, MOVED = "is being moved to the archive", "moved to the archive"
COPIED = "a copy is in the archive"
REFUSING, PUT_ASIDE = "is being moved to the quarantine", "moved to the quarantine"

#: Reasons that a quarantine is for. Those that may pass are not among them, nor what has no bytes
#: of its own; and a DICOMDIR is no fault.
FINAL = frozenset(reason for reason in Reason if reason.verdict is Verdict.REFUSE) - {
    Reason.DICOMDIR,
    Reason.OUTSIDE_ROOT,
    Reason.NOT_A_FILE,
}

#: Files of a root that the archive shall have. `later` is what could not be taken just now.
TO_KEEP = """
    SELECT path, size_bytes, mtime_ns, digest, detail, SOPInstanceUID FROM file
    WHERE root = $1 AND state IN ('cataloged', 'duplicate')
      AND ($2 OR detail IS DISTINCT FROM $3)
      AND path <> $4 AND NOT list_contains($5, path)
    LIMIT $6
"""
#: The same for a quarantine; a conflict only when the instance itself is safe in the archive.
TO_PUT_ASIDE = """
    SELECT f.path, f.size_bytes, f.mtime_ns, f.state, f.reason, f.detail FROM file AS f
    LEFT JOIN instance AS i
        ON f.state = 'conflict' AND i.SOPInstanceUID = f.SOPInstanceUID AND i.root = $2
    WHERE f.root = $1
      AND ((f.state = 'refused' AND list_contains($3, f.reason))
        OR (f.state = 'conflict' AND $6 AND i.instance_id IS NOT NULL))
      AND f.path <> $4 AND NOT list_contains($5, f.path)
    LIMIT $7
"""
INSTANCES = """
    SELECT SOPInstanceUID, instance_id, digest, PatientID, StudyInstanceUID, SeriesInstanceUID,
        root
    FROM instance WHERE SOPInstanceUID IN ({})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A file that is to be taken."""

    path: str
    size_bytes: int
    mtime_ns: int
    to: str  #: where in the store; empty when nobody can say just now
    digest: str | None = None  #: when the ledger has it
    is_kept: bool = False  #: the store has it already, says the catalog
    instance_id: int | None = None
    SOPInstanceUID: str | None = None
    reason: str | None = None  #: quarantine: why, in a word and in words
    detail: str | None = None


class TakeBook:
    """The questions and the writing for one root."""

    def __init__(self, catalog: Catalog, root: config.Root, *, archive: str) -> None:
        self._catalog, self._root, self._archive = catalog, root, archive
        self._moves = root.take == "move"

    def knows(self, store: str) -> bool:
        """Whether the catalog holds files of a store."""
        return bool(self._catalog.rows("SELECT 1 FROM file WHERE root = ? LIMIT 1", store))

    def to_keep(self, later: Sequence[str], limit: int) -> list[Due]:
        """Name files that the archive shall have."""
        rows = self._catalog.rows(
            TO_KEEP,
            self._root.key,
            self._moves,
            COPIED,
            self._root.sentinel,
            list(later),
            limit,
        )
        instances = self._instances({uid for *_, uid in rows})
        due = []
        for path, size_bytes, mtime_ns, digest, detail, uid in rows:
            known = instances.get(uid)
            if known is None or known[1] != digest:  # The writer is about to say something else.
                due.append(Due(path=path, size_bytes=size_bytes, mtime_ns=mtime_ns, to=""))
                continue
            instance_id, _, patient, study, series, root = known
            due.append(
                Due(
                    path=path,
                    size_bytes=size_bytes,
                    mtime_ns=mtime_ns,
                    digest=digest,
                    to=names.in_archive(patient, study, series, uid),
                    is_kept=detail == MOVING and root == self._archive,
                    instance_id=instance_id,
                    SOPInstanceUID=uid,
                )
            )
        return due

    def _instances(self, uids: set[str]) -> dict[str, tuple[int, str, str | None, str, str, str]]:
        """Look instances up by index, which a join would not use."""
        assert len(uids) <= LOOK_UP, "so many are not looked up by index any more"
        if not uids:
            return {}
        places = ", ".join("?" * len(uids))
        rows = self._catalog.rows(INSTANCES.format(places), *sorted(uids))
        return {uid: tuple(rest) for uid, *rest in rows}

    def to_put_aside(self, later: Sequence[str], limit: int) -> list[Due]:
        """Name files that the quarantine shall have."""
        rows = self._catalog.rows(
            TO_PUT_ASIDE,
            self._root.key,
            self._archive,
            [str(reason) for reason in sorted(FINAL)],
            self._root.sentinel,
            list(later),
            self._root.take != "index",
            limit,
        )
        return [
            Due(
                path=path,
                size_bytes=size_bytes,
                mtime_ns=mtime_ns,
                to=names.in_quarantine(
                    reason=reason or state,
                    root=self._root.key,
                    path=path,
                    size_bytes=size_bytes,
                    mtime_ns=mtime_ns,
                ),
                is_kept=detail == REFUSING,
                reason=reason or state,
                detail=detail,
            )
            for path, size_bytes, mtime_ns, state, reason, detail in rows
        ]

    def keep(self, put: Sequence[tuple[Due, Kept]], store: str, *, refused: bool) -> set[int]:
        """Write where the files are now; say which of them (by place) still are what was taken.

        raises  IngestError; nothing was written then
        """
        word = REFUSING if refused else MOVING if self._moves else COPIED
        script = sql.KEEP_REFUSED if refused else sql.KEEP_ARCHIVED
        with self._catalog.transaction(
            taken=taken_table(put), setting=self._setting(store=store, word=word)
        ) as db:
            db.execute(script)
            return {nth for (nth,) in db.execute("SELECT nth FROM holds").fetchall()}

    def taken_away(self, due: Iterable[Due], *, refused: bool) -> None:
        """Write that files are not in their drop folder any more, and why that is no loss."""
        words = (REFUSING, PUT_ASIDE) if refused else (MOVING, MOVED)
        gone = taken_table([(one, NOWHERE) for one in due])
        setting = self._setting(word=words[0], done=words[1])
        with self._catalog.transaction(taken=gone, setting=setting) as db:
            db.execute(sql.TAKEN_AWAY)

    def tell(self, kind: str, detail: str) -> None:
        """Note an event of this root."""
        self._catalog.tell(kind, root=self._root.key, detail=detail)

    def _setting(self, **words: str) -> pa.Table:
        one = {"root": self._root.key, **words}
        table = pa.table({name: [value] for name, value in one.items()})
        return table.append_column("at_utc", pa.array([utc_now()], pa.timestamp("us")))


def note(root: str, due: Due, kept: Kept) -> bytes:
    """Write for a file in quarantine what a person needs to mend it, or to send it back."""
    words = {
        "reason": due.reason,
        "detail": due.detail,
        "root": root,
        "path": due.path,
        "size_bytes": kept.size_bytes,
        "digest": kept.digest,
        "at_utc": utc_now().isoformat(timespec="seconds") + "Z",
    }
    text = json.dumps(words, indent=2, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace")


NOWHERE = Kept(path="", size_bytes=0, mtime_ns=0, digest="", is_new=False)


def taken_table(put: Sequence[tuple[Due, Kept]]) -> pa.Table:
    """Make the rows of the view `taken`."""
    return pa.table(
        {
            "nth": pa.array(range(len(put)), pa.int32()),
            "path": pa.array([due.path for due, _ in put], pa.string()),
            "size_bytes": pa.array([due.size_bytes for due, _ in put], pa.int64()),
            "mtime_ns": pa.array([due.mtime_ns for due, _ in put], pa.int64()),
            "digest": pa.array([kept.digest for _, kept in put], pa.string()),
            "SOPInstanceUID": pa.array([due.SOPInstanceUID for due, _ in put], pa.string()),
            "instance_id": pa.array([due.instance_id for due, _ in put], pa.int64()),
            "kept_path": pa.array([kept.path for _, kept in put], pa.string()),
            "kept_size_bytes": pa.array([kept.size_bytes for _, kept in put], pa.int64()),
            "kept_mtime_ns": pa.array([kept.mtime_ns for _, kept in put], pa.int64()),
        }
    )
