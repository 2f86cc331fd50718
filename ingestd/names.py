"""Pure. Names of files in the archive and in a quarantine: never a way out, never a surprise.

What a header or a sender says becomes a name here, and nowhere else. A name holds letters, digits,
`.`, `_` and `-` of ASCII only: it means the same on every file system and in every shell.
"""

import re

from blake3 import blake3

UID = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)
UID_BYTES = 64  #: PS3.5 9.1
NAME_BYTES = 64  #: of what is kept of a foreign name, before the mark
MARK = 12  #: hexadecimal digits that tell apart what was made equal

NO_PATIENT = "no-PatientID"

_FOREIGN = re.compile(r"[^A-Za-z0-9._-]")
#: Names that Windows takes for a device, whatever follows the first dot: archives are shared.
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(?:\..*)?", re.IGNORECASE)


def mark(*parts: str) -> str:
    """Give a short hash of some texts, each apart from the next, whatever they hold."""
    whole = b"".join(
        len(raw).to_bytes(8, "big") + raw
        for raw in (part.encode(errors="replace") for part in parts)
    )
    return blake3(whole).hexdigest()[:MARK]


def safe(name: str) -> str:
    """Make a text fit for one name in a folder: as it is when it is fit, else changed and marked.

    The mark is a hash of the whole text, so that two texts that are cut or changed alike stay two
    names. Never empty, hidden, `..`, an option or a device; at most NAME_BYTES and the mark.
    """
    kept = _FOREIGN.sub("_", name)[:NAME_BYTES].strip(".").lstrip("-")
    if kept == name and name and name != NO_PATIENT and not _DEVICE.fullmatch(name):
        return name
    return f"{kept.replace('.', '_') or '_'}_{mark(name)}"


def in_archive(patient_id: str | None, study: str, series: str, instance: str) -> str:
    """Say where in the archive an instance belongs.

    patient_id               PatientID, as the catalog has it
    study, series, instance  their UIDs
    raises                   ValueError when a UID is none; the catalog holds no such instance
    """
    uids = (study, series, instance)
    for uid in uids:
        if len(uid) > UID_BYTES or not UID.fullmatch(uid):
            raise ValueError("not a UID")
    return "/".join((safe(patient_id) if patient_id else NO_PATIENT, *uids)) + ".dcm"


def in_quarantine(*, reason: str, root: str, path: str, size_bytes: int, mtime_ns: int) -> str:
    """Say where in the quarantine a file belongs: under its reason, by its own name and a mark.

    The mark stands for where the file was and which it was there: what comes again with other
    bytes gets another name, and the same file the same.
    """
    name = safe(path.rsplit("/", 1)[-1])
    return f"{reason}/{name}.{mark(root, path, str(size_bytes), str(mtime_ns))}"
