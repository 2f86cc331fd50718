"""Pure. Why something did not go the usual way, in one word that SQL, logs and docs share."""

from enum import StrEnum


class Verdict(StrEnum):
    """What becomes of a file, or of us, when something went wrong."""

    REFUSE = "refuse"  #: the file is at fault; looking again would see the same
    RETRY = "retry"  #: the moment is at fault; look again, later and later
    HALT = "halt"  #: we are at fault, or our disk; take no more work, keep everything
    DEGRADE = "degrade"  #: the row stays, the picture or volume is missing


class Reason(StrEnum):
    """One word that says why. `docs/reasons.md` has a heading for each."""

    verdict: Verdict

    def __new__(cls, code: str, verdict: Verdict = Verdict.REFUSE) -> "Reason":
        """Take the verdict beside the code."""
        reason = str.__new__(cls, code)
        reason._value_, reason.verdict = code, verdict
        return reason

    NOT_DICOM = "not_dicom"  #: neither "DICM" at byte 128 (PS3.10 7.1) nor a bare data set
    DICOMDIR = "dicomdir"  #: a media directory (PS3.10 8.6): an index, not an image
    TRUNCATED = "truncated"  #: the header ends inside an element
    MISSING_UID = "missing_uid"  #: Study, Series or SOP Instance UID absent or empty
    BAD_UID = "bad_uid"  #: not numbers joined by dots, or longer than 64 (PS3.5 9.1)
    TOO_LARGE = "too_large"  #: more bytes, elements or nesting than the limits allow
    OUTSIDE_ROOT = "outside_root"  #: a symbolic link that leads out of its drop folder
    NOT_A_FILE = "not_a_file"  #: a FIFO, a socket, a device, a link that leads to no file
    PATH_TOO_LONG = "path_too_long"  #: its path has more bytes than the kernel takes
    WORKER_CRASHED = "worker_crashed"  #: reading it killed its process, alone, three times
    WORKER_TIMEOUT = "worker_timeout"  #: reading it took longer than [workers] deadline_s
    WORKER_MEMORY = "worker_memory"  #: reading it took more than [workers] memory_bytes

    STILL_CHANGING = "still_changing", Verdict.RETRY  #: size or time moved while we read
    TRANSIENT_IO = "transient_io", Verdict.RETRY  #: ESTALE, EIO, or it left between two looks
    NOT_READABLE = "not_readable", Verdict.RETRY  #: EACCES or EPERM on the file

    DISK_FULL = "disk_full", Verdict.HALT  #: ENOSPC or EDQUOT in our own state folder
    STATE_NOT_WRITABLE = "state_not_writable", Verdict.HALT  #: EROFS, EACCES ... in our folder
    CATALOG_MEMORY = "catalog_memory", Verdict.HALT  #: DuckDB's memory is used up, by a query too
    CATALOG_BROKEN = "catalog_broken", Verdict.HALT  #: DuckDB cannot go on with its file

    NO_PIXELS = "no_pixels", Verdict.DEGRADE  #: a report, a structure set, a waveform
    UNSUPPORTED_SYNTAX = "unsupported_syntax", Verdict.DEGRADE  #: no decoder for it here
    DECODER_FAILED = "decoder_failed", Verdict.DEGRADE  #: each decoder gave up on the pixels

    MIXED_SHAPE = "mixed_shape", Verdict.DEGRADE  #: Rows x Columns differ within a stack
    MIXED_ORIENTATION = "mixed_orientation", Verdict.DEGRADE  #: no common direction
    UNEVEN_SPACING = "uneven_spacing", Verdict.DEGRADE  #: gaps that no step explains
    MISSING_SLICES = "missing_slices", Verdict.DEGRADE  #: gaps of two or more steps
    DUPLICATE_POSITION = "duplicate_position", Verdict.DEGRADE  #: and nothing tells them apart
    TOO_FEW_SLICES = "too_few_slices", Verdict.DEGRADE  #: fewer than two positions
    LOCALIZER = "localizer", Verdict.DEGRADE  #: ImageType says LOCALIZER
    NO_GEOMETRY = "no_geometry", Verdict.DEGRADE  #: no position or orientation in the header
    SEGMENTATION = "segmentation", Verdict.DEGRADE  #: frames are segments, not one volume
    TOO_MANY_VOXELS = "too_many_voxels", Verdict.DEGRADE  #: above [volume] max_voxels


class IngestError(Exception):
    """The one exception that crosses rooms. `detail` is for people; no patient data in it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail

    def __reduce__(self) -> tuple[type["IngestError"], tuple[Reason, str]]:
        """Survive the way from a worker process to the daemon."""
        return type(self), (self.reason, self.detail)


class ConfigError(Exception):
    """The config cannot be used. The message names the key, what is wrong and what to do."""


class StateError(Exception):
    """The state folder cannot be used. The message says which, why and what to do."""


class BrokenStateError(StateError):
    """And a new start would not mend it: a person must."""


class SqlError(Exception):
    """A question to the catalog was not answered; the message says why."""
