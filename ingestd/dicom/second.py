"""Edge: second opinions: the decoders that pydicom brings, and gdcm in a process of its own.

gdcm ends its process on many broken frames (an exception that nobody catches). Run like this it
costs a quarter of a second, and only when the first decoder has given up.
"""

import io
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import LOGGER as PYDICOM_LOGGER
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from ingestd.dicom.colour import to_rgb
from ingestd.dicom.layout import Layout

#: How long gdcm may think about one frame; it also ends by itself when we are gone.
PATIENCE_S = 20

# A decoder that gives up is our business, not a traceback in somebody's log: the next one follows.
PYDICOM_LOGGER.setLevel(logging.CRITICAL + 1)


def by_pydicom(plugin: str) -> Callable[[bytes, Layout], NDArray[Any]]:
    """Give one of pydicom's decoders."""

    def decode(content: bytes, at: Layout) -> NDArray[Any]:
        options: dict[str, Any] = {
            "rows": at.rows,
            "columns": at.columns,
            "number_of_frames": 1,
            "samples_per_pixel": at.samples,
            "bits_allocated": at.bits_allocated,
            "bits_stored": at.bits_stored,
            "pixel_representation": int(at.signed),
            "photometric_interpretation": at.photometric,
            "planar_configuration": int(at.planar),
            "pixel_keyword": at.keyword,
        }
        values, found = get_decoder(UID(at.syntax)).as_array(
            encapsulate([content]),
            index=0,
            raw=True,
            validate=False,
            decoding_plugin=plugin,
            **options,
        )
        return values if found["photometric_interpretation"] == "RGB" else to_rgb(values, at)

    return decode


def gdcm_apart(content: bytes, at: Layout) -> NDArray[Any]:
    """Decode with gdcm in a process of its own.

    raises  OSError when that process dies or gives up, TimeoutExpired when it takes too long
    """
    done = subprocess.run(  # noqa: S603 (our own module, nothing from outside on its command line)
        [sys.executable, "-P", "-m", __name__],
        input=json.dumps(asdict(at)).encode() + b"\n" + content,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode < 0:
        raise OSError(f"it died of {signal.Signals(-done.returncode).name}")
    if done.returncode:
        raise OSError(done.stderr.decode(errors="replace").strip().rpartition("\n")[2])
    values: NDArray[Any] = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    return values


def main() -> None:
    """Read a layout and a frame from standard input, write an array to standard output."""
    signal.alarm(PATIENCE_S + 1)
    at = Layout(**json.loads(sys.stdin.buffer.readline()))
    values = by_pydicom("gdcm")(sys.stdin.buffer.read(), at)
    np.save(sys.stdout.buffer, values, allow_pickle=False)


if __name__ == "__main__":
    main()
