"""Edge: the data set of a deflated file, piece by piece: it may be large and the file small."""

import zlib
from io import BufferedReader

from ingestd.dicom import scan
from ingestd.errors import IngestError, Reason

PIECE_BYTES = 1 << 18  #: of the file, or of what comes out of it, at once
DEFLATED = b"1.2.840.10008.1.2.1.99"
LONG_HEAD_BYTES = 12  #: tag, VR and length of an element whose length has four bytes
MOST_HEADER_BYTES = 1 << 24  #: pixels that begin later are left to pydicom


class Inflating:
    """Gives the bytes of a deflated data set (PS3.5 A.5) in their order, once."""

    def __init__(self, handle: BufferedReader) -> None:
        """Begin behind the file meta.

        raises  scan.Unusual when it is not deflated, scan.TooShort; OSError
        """
        handle.seek(0)
        syntax, start = scan.meta(handle.read(PIECE_BYTES))
        if syntax != DEFLATED:
            raise scan.Unusual("not deflated")
        handle.seek(start)
        self._handle, self._inflater, self._at = handle, zlib.decompressobj(-zlib.MAX_WBITS), 0

    def fill(self, memory: memoryview, start: int) -> None:
        """Give the bytes from `start` on, which must not lie behind us.

        raises  IngestError `decoder_failed` when they end early or are damaged; OSError
        """
        assert start >= self._at, "a deflated data set is read forwards"
        while self._at < start:
            self.read(min(PIECE_BYTES, start - self._at))
        done = 0
        while done < len(memory):
            piece = self.read(min(PIECE_BYTES, len(memory) - done))
            memory[done : done + len(piece)] = piece
            done += len(piece)

    def read(self, most: int) -> bytes:
        """Give the next bytes, at least one.

        raises  as `fill`
        """
        while True:
            waiting = self._inflater.unconsumed_tail or self._handle.read(PIECE_BYTES)
            try:
                piece = self._inflater.decompress(waiting, most)
            except zlib.error as error:
                words = "the deflated data set is damaged"
                raise IngestError(Reason.DECODER_FAILED, words) from error
            self._at += len(piece)
            if piece:
                return piece
            if self._inflater.eof or not waiting:
                words = "truncated: the deflated data set ends early"
                raise IngestError(Reason.DECODER_FAILED, words)


def header(handle: BufferedReader) -> tuple[bytes, scan.Pixels] | None:
    """Inflate a header.

    return  its elements, and the pixels behind them, whose offset counts inflated bytes; None for
            a file that is not deflated, and for one that pydicom has to look at
    raises  OSError
    """
    try:
        inflating, content = Inflating(handle), b""
        while len(content) < MOST_HEADER_BYTES:
            content += inflating.read(PIECE_BYTES)
            try:
                found = scan.pixels_of(content)
            except scan.TooShort:
                continue
            return content[: found[2] - LONG_HEAD_BYTES], found
    except (scan.Unusual, scan.TooShort, IngestError):
        return None
    return None
