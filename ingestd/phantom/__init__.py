"""Edge: a realistic drop folder, written from scratch.

Studies with an anatomy to look at, and what else lies in such folders: a slice that comes late,
a copy, a file that was cut off, a note. Real files of odd kinds come with the pydicom package.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.data import get_testdata_file

from ingestd.phantom import studies

LATE_SLICE = 14  #: InstanceNumber of the chest slice that comes after the others
TWICE = 17  #: InstanceNumber of the abdomen slice that lies in the folder twice
CUT_BEFORE = b"(phantom)"  #: the last word of StudyDescription, in the middle of the header

#: Small real files of the pydicom package, each with another syntax, modality or oddity.
REAL_FILES = (
    "CT_small.dcm",
    "693_J2KI.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPGExtended.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "rtdose_rle_1frame.dcm",
    "ExplVR_BigEnd.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
    "reportsi.dcm",
    "rtplan.dcm",
    "waveform_ecg.dcm",
)

NOTE = """\
These pictures are phantoms: they were computed, and show nobody.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file to drop."""

    path: str  #: relative to the drop folder
    content: bytes
    story: str  #: what it belongs to, for people
    late: bool = False  #: dropped only after the others were judged


def items(seed: int = 1) -> Iterator[Item]:
    """Make every file of the demo, in the order in which they are dropped.

    seed    another one makes another set of UIDs and another noise
    raises  FileNotFoundError when the pydicom package came without one of its files
    """
    slices = list(studies.abdomen(seed))
    for number, content in slices:
        yield Item(path=f"ct-abdomen/IM{number:04}.dcm", content=content, story="CT abdomen")
    copy = dict(slices)[TWICE]
    yield Item(path="copies/abdomen again", content=copy, story="a copy, without a suffix")
    late = []
    for number, content in studies.chest(seed):
        item = Item(
            path=f"ct-chest/I{number:03}",
            content=content,
            story="CT that lacks a slice",
            late=number == LATE_SLICE,
        )
        if item.late:
            late.append(item)
        else:
            yield item
    for number, content in studies.head(seed):
        yield Item(path=f"mr-head/MR{number:06}.dcm", content=content, story="MR with two echoes")
    yield Item(path="us-heart/clip.dcm", content=studies.heart(seed), story="ultrasound clip")
    second = studies.heart(seed, instance=2)
    cut = second[: second.index(CUT_BEFORE)]
    yield Item(path="us-heart/clip 2.dcm", content=cut, story="cut off in the header")
    yield Item(path="READ ME.txt", content=NOTE.encode(), story="not an image")
    for name in REAL_FILES:
        yield Item(path=f"real/{name}", content=_real(name), story="real files of pydicom")
    yield from late


def write(folder: Path, seed: int = 1, *, late: bool = True) -> int:
    """Write the demo into a folder at once; return how many files that was.

    late    False leaves out what comes after the others were judged
    raises  OSError; FileExistsError when one of the files is there already
    """
    count = 0
    for item in items(seed):
        if item.late and not late:
            continue
        target = folder / item.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            out.write(item.content)
        count += 1
    return count


def _real(name: str) -> bytes:
    """Read a file that comes in pydicom's wheel."""
    path = get_testdata_file(name, download=False)
    if not isinstance(path, str):
        raise FileNotFoundError(f"pydicom's {name} is not in its package; install pydicom again")
    return Path(path).read_bytes()
