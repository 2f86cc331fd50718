"""Small disks of their own for tests: filled up, emptied, broken."""

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pytest

from ingestd.engine import BLOCK_BYTES

MIB = 1 << 20


class Disk:
    """A file system of so many bytes, mounted at `place`."""

    def __init__(self, kind: str, folder: Path, size_bytes: int) -> None:
        self.place, self._image = folder / "disk", folder / "disk.image"
        self._ballast = self.place / "ballast"
        self.place.mkdir()
        if kind == "tmpfs":
            self._mount = ["-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs"]
        else:
            with self._image.open("wb") as image:
                image.truncate(size_bytes)
            # Without a journal it can be mounted again as it is, once the kernel has given it up.
            made = ["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(self._image)]
            done(made)
            self._mount = ["-o", "loop,errors=remount-ro", str(self._image)]
        self.mount()

    def mount(self) -> None:
        """Mount it; once more after it was unmounted."""
        done(["mount", *self._mount, str(self.place)])

    def unmount(self) -> None:
        """Unmount it, as soon as nobody uses it any more."""
        done(["umount", str(self.place)])

    @property
    def free_bytes(self) -> int:
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize

    def fill(self, left_bytes: int) -> None:
        """Take all room but so much."""
        with self._ballast.open("ab") as ballast:
            size = self.free_bytes - left_bytes
            while size >= 4096 and self.free_bytes > left_bytes:
                try:
                    os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), size)
                except OSError:  # Less than it said: some of it is for its own bookkeeping.
                    size //= 2

    def make_room(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink()

    def give_up(self) -> None:
        """Have the kernel take it for damaged: from now on it is only read."""
        device = done(["findmnt", "-n", "-o", "SOURCE", str(self.place)]).strip()
        trigger = Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip("this kernel cannot be told that a disk is damaged")
        trigger.write_text("1")

    def mend(self) -> None:
        """Check it, as an administrator does, and mount it again."""
        self.unmount()
        subprocess.run(["fsck.ext4", "-y", str(self._image)], capture_output=True, check=False)
        self.mount()


@contextmanager
def disk(kind: str, folder: Path, size_bytes: int) -> Iterator[Disk]:
    """Make a disk, `tmpfs` or `ext4`, or skip where that cannot be; take it away at the end."""
    try:
        made = Disk(kind, folder, size_bytes)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no {kind} of our own here: that needs root, and mkfs.ext4: {error}")
    try:
        yield made
    finally:
        with suppress(subprocess.CalledProcessError):
            done(["umount", "-l", str(made.place)])


def done(command: list[str]) -> str:
    """Run a command that must go well, and give what it said."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


HEADER_BYTES = 3 * 4096  #: of a DuckDB file; its blocks follow


def block_at(number: int) -> int:
    """Say where the middle of a block is."""
    return HEADER_BYTES + number * BLOCK_BYTES + BLOCK_BYTES // 2


def blocks_of(catalog: Path, table: str) -> list[int]:
    """Name the blocks of a catalog that hold rows of a table; nobody may have it open."""
    with duckdb.connect(str(catalog), read_only=True) as db:
        rows = db.execute(
            "SELECT DISTINCT block_id FROM pragma_storage_info(?) WHERE block_id >= 0 ORDER BY ALL",
            [table],
        ).fetchall()
    return [block for (block,) in rows]


def damage(file: Path, at: int, size_bytes: int = 512) -> None:
    """Overwrite some bytes, as a disk that lies does.

    With noise: to DuckDB's checksum, words that repeat an even number of times are not there.
    """
    with file.open("rb+") as content:
        content.seek(at)
        content.write(random.Random(at).randbytes(size_bytes))  # noqa: S311 - the same each time
