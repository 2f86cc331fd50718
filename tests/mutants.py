"""Hostile files: real ones that a seeded generator bends, cuts and fills with lies."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import AllTransferSyntaxes, DeflatedExplicitVRLittleEndian

#: What an attacker puts where a name, a UID, a description or a charset belongs.
WORDS = (
    "../../../../tmp/ingestd-escaped",
    "/etc/passwd",
    "'; DROP TABLE file; --",
    '"><script>alert(1)</script>',
    "\x1b[2J\x1b]0;title\x07\x9b31m",
    "nul\x00inside",
    "%s%n{0.__class__}",
    "a" * 65_000,
    "\\\\server\\share\\..\\x",
    "\x1b$B" * 3000,
    "e\u0301" * 200,
    "1.2." * 40,
    "NaN",
    "1e400",
    "-0",
    "",
)
TEXTS = (
    "PatientName",
    "PatientID",
    "StudyDescription",
    "SeriesDescription",
    "Modality",
    "StudyDate",
    "Manufacturer",
    "PatientAge",
    "SpecificCharacterSet",
)
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
SIZES = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel")
NUMBERS = (
    "NumberOfFrames",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "WindowWidth",
    "RescaleSlope",
    "SliceThickness",
    "InstanceNumber",
)
LENGTHS = (0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x10000000, 0xFFFF, 1, 0)
EXPLICIT_VRS = (b"SQ", b"OB", b"OW", b"UN", b"UT", b"LO", b"DS", b"UI", b"CS", b"US", b"PN")


def bits_flipped(content: bytes, rng: random.Random) -> bytes:
    """Turn up to 64 bits, most of them in the header."""
    bent = bytearray(content)
    for _ in range(rng.randint(1, 64)):
        end = min(len(bent), 4096) if rng.random() < 0.7 else len(bent)
        bent[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(bent)


def cut_off(content: bytes, rng: random.Random) -> bytes:
    """End anywhere."""
    return content[: rng.randrange(len(content))]


def something_inside(content: bytes, rng: random.Random) -> bytes:
    """Put in noise, or leave a piece out."""
    at = rng.randrange(len(content))
    piece = rng.randbytes(rng.randint(1, 300))
    return content[:at] + piece + content[at + rng.choice((0, len(piece))) :]


def wild_vr(content: bytes, rng: random.Random) -> bytes:
    """Put another VR, or none, where an explicit one stands."""
    at = content.find(rng.choice(EXPLICIT_VRS), 132)
    vr = rng.choice((*EXPLICIT_VRS, b"XX", b"\x00\x00", b"zz", b"  "))
    return content if at < 0 else content[:at] + vr + content[at + 2 :]


def length_bomb(content: bytes, rng: random.Random) -> bytes:
    """Let an element claim more, or less, than there is."""
    vr = rng.choice(EXPLICIT_VRS)
    places = [at for at in range(132, min(len(content) - 12, 8000)) if content.startswith(vr, at)]
    if not places:
        return bits_flipped(content, rng)
    at = rng.choice(places)
    length = rng.choice(LENGTHS)
    if vr in {b"SQ", b"OB", b"OW", b"UN", b"UT"}:
        return content[: at + 4] + struct.pack("<I", length) + content[at + 8 :]
    return content[: at + 2] + struct.pack("<H", length & 0xFFFF) + content[at + 4 :]


def deeply_nested(content: bytes, rng: random.Random) -> bytes:
    """Add sequences in sequences in sequences: explicit or implicit, with and without an end."""
    depth = rng.choice((40, 300, 3000))
    start = struct.pack("<HH2sHI", 0x7777, 0x0010, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    ends = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return content + (start + item) * depth + ends * rng.choice((0, depth // 2, depth))


def with_lies(content: bytes, rng: random.Random) -> bytes:
    """Change what the header says: sizes, counts, positions, texts, UIDs."""
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    for _ in range(rng.randint(1, 5)):
        keyword = rng.choice((*TEXTS, *UIDS, *SIZES, *NUMBERS))
        if keyword in SIZES:
            value: object = rng.choice((0, 1, 3, 7, 12, 24, 64, 255, 4096, 65535))
        elif keyword in NUMBERS:
            value = rng.choice(("0", "-1", "2147483647", "1e-310", "9" * 16, "NaN", ["0"] * 6, ""))
        else:
            value = rng.choice(WORDS)
        vr = dictionary_VR(keyword)
        dataset[keyword] = pydicom.DataElement(keyword, vr, value, already_converted=True)
    return written(dataset)


def lying_syntax(content: bytes, rng: random.Random) -> bytes:
    """Say another transfer syntax than the bytes have."""
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    old = even(dataset.file_meta.TransferSyntaxUID.encode())
    new = even(rng.choice([*AllTransferSyntaxes, "1.2.3.4", "1.2.840.10008.1.2.4.999"]).encode())
    at = content.index(old)
    return content[: at - 2] + struct.pack("<H", len(new)) + new + content[at + len(old) :]


def even(uid: bytes) -> bytes:
    return uid + b"\0" * (len(uid) % 2)


def wild_offsets(content: bytes, rng: random.Random) -> bytes:
    """Let the basic offset table of encapsulated pixels point anywhere (PS3.5 A.4)."""
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    item = content.index(pixels) + len(pixels)
    table = b"".join(
        struct.pack("<I", rng.choice((0, 2, 0xFFFFFFF0, len(content), rng.getrandbits(32))))
        for _ in range(rng.choice((1, 2, 1000)))
    )
    old = struct.unpack_from("<I", content, item + 4)[0]
    return content[: item + 4] + struct.pack("<I", len(table)) + table + content[item + 8 + old :]


def deflate_bomb(content: bytes, rng: random.Random) -> bytes:
    """Write a small file that inflates to a large one (PS3.5 A.5)."""
    dataset = pydicom.dcmread(io.BytesIO(content), force=True, stop_before_pixels=True)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    plain = written(dataset)
    start = 144 + struct.unpack_from("<I", plain, 140)[0]  # PS3.10 7.1: the length of group 2
    size = rng.choice((1, 64, 256)) << 20
    packer = zlib.compressobj(9, wbits=-15)
    bomb = packer.compress(zlib.decompress(plain[start:], -15))
    bomb += packer.compress(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, size))
    for _ in range(size >> 20):
        bomb += packer.compress(bytes(1 << 20))
    return plain[:start] + bomb + packer.flush()


def written(dataset: Dataset) -> bytes:
    """Write what no writer should: values are not looked at."""
    target = io.BytesIO()
    dataset.save_as(target, enforce_file_format=False)
    return target.getvalue()


def crowded(content: bytes, rng: random.Random) -> bytes:
    """Add a sequence of very many items, or very many private elements."""
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    many = rng.choice((100, 5000))
    if rng.random() < 0.5:
        dataset.RequestAttributesSequence = Items([Dataset() for _ in range(many)])
    else:
        for number in range(many):
            dataset.add_new((0x0999 + 2 * (number // 200), 0x1000 + number % 200), "LO", "x" * 60)
    return written(dataset)


#: What pydicom, or a way that looks for something, raises for a source that does not suit it.
UNFIT = (
    AttributeError,
    KeyError,
    NotImplementedError,
    OSError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

WAYS: Sequence[Callable[[bytes, random.Random], bytes]] = (
    *(bits_flipped,) * 4,
    *(cut_off,) * 2,
    something_inside,
    *(wild_vr,) * 2,
    *(length_bomb,) * 3,
    deeply_nested,
    *(with_lies,) * 6,
    *(lying_syntax,) * 2,
    wild_offsets,
    crowded,
)


def mutants(sources: Sequence[Path], *, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield `count` names and contents; the same for the same sources and seed."""
    rng = random.Random(seed)  # noqa: S311 - to be the same each time is the point
    number = 0
    while number < count:
        way = rng.choice(WAYS) if number % 200 else deflate_bomb
        try:
            content = way(rng.choice(sources).read_bytes(), rng)
        except UNFIT:
            continue
        yield f"{number:05}-{way.__name__}", content
        number += 1
