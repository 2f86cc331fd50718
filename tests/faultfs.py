"""A share for tests: shows a folder by FUSE, and fails or hangs as a control file says.

    python faultfs.py BACKING MOUNTPOINT CONTROL

Each line of CONTROL is `operation path what`: operation is getattr, readdir, open or read; path is
below the mount or `*`; what is the name of an errno, or `hang`, which lasts until the line is gone.
"""

import errno
import os
import sys
import time
from pathlib import Path
from typing import Any

import mfusepy


class FaultFS(mfusepy.Operations):
    use_ns = True

    def __init__(self, backing: str, control: str) -> None:
        self._backing, self._control = backing, control

    def _under(self, operation: str, path: str) -> str:
        while True:
            what = self._fault(operation, path)
            if what != "hang":
                break
            time.sleep(0.05)
        if what is not None:
            raise mfusepy.FuseOSError(getattr(errno, what))
        return self._backing + path

    def _fault(self, operation: str, path: str) -> str | None:
        for line in Path(self._control).read_text().splitlines():
            of, at, what = line.split()
            if of == operation and at in (path, "*"):
                return what
        return None

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:  # noqa: ARG002
        try:
            found = os.lstat(self._under("getattr", path))
        except OSError as error:
            raise mfusepy.FuseOSError(error.errno) from error
        keys = ("st_mode", "st_size", "st_uid", "st_gid", "st_nlink")
        times = ("st_mtime", "st_ctime", "st_atime")
        return {
            **{key: getattr(found, key) for key in keys},
            **{key: getattr(found, f"{key}_ns") for key in times},
        }

    def readdir(self, path: str, fh: int) -> list[str]:  # noqa: ARG002
        return [".", "..", *os.listdir(self._under("readdir", path))]

    def open(self, path: str, flags: int) -> int:  # noqa: ARG002
        return os.open(self._under("open", path), os.O_RDONLY)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._under("read", path)
        return os.pread(fh, size, offset)

    def release(self, path: str, fh: int) -> int:  # noqa: ARG002
        os.close(fh)
        return 0


if __name__ == "__main__":
    backing, mountpoint, control = sys.argv[1:]
    mfusepy.FUSE(
        FaultFS(backing, control),
        mountpoint,
        foreground=True,
        nothreads=False,
        attr_timeout=0,
        entry_timeout=0,
        direct_io=True,
    )
