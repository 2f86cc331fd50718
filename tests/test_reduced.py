"""JPEG 2000 at a fraction of its size shows the same picture, and odd frames are left to others."""

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.errors import InvalidDicomError

from ingestd import config, thumbnail
from ingestd.dicom import pixels, reduced
from ingestd.dicom.codestream import codestream
from ingestd.dicom.layout import layout

HILL = np.hypot(*np.mgrid[-64:64, -80:80])  # 0 in the middle, 102 in the corners


def image_of(values: NDArray[np.generic], stored: int = 16, **header: object) -> Dataset:
    """An image whose only frame is JPEG 2000, lossless."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = values.shape[2] if values.ndim == 3 else 1
    dataset.PhotometricInterpretation = "YBR_RCT" if values.ndim == 3 else "MONOCHROME2"
    dataset.BitsAllocated = 8 * values.dtype.itemsize
    dataset.BitsStored = min(stored, dataset.BitsAllocated)
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    one = imagecodecs.jpeg2k_encode(
        values, codecformat="j2k", level=0, bitspersample=dataset.BitsStored
    )
    dataset.PixelData = encapsulate([one])
    dataset["PixelData"].is_undefined_length = True
    return dataset


def smaller(dataset: Dataset, times: int) -> pixels.Decoded:
    at = layout(dataset)
    return pixels.decoded(pixels.stored(dataset, at), at, 0, times=times)


@pytest.mark.parametrize(
    "dataset",
    [
        pytest.param(image_of((HILL * 10).astype("u2"), 12), id="12 bits of 16"),
        pytest.param(image_of((HILL * 600).astype("u2")), id="16 bits"),
        pytest.param(image_of((HILL * 10 - 500).astype("i2")), id="signed"),
        pytest.param(image_of((HILL * 2).astype("u1")), id="8 bits"),
        pytest.param(
            image_of(np.stack([HILL, 2 * HILL, 200 - HILL], axis=-1).astype("u1")), id="colours"
        ),
    ],
)
def test_values_are_those_of_the_whole_frame_but_fewer(dataset: Dataset) -> None:
    whole = pixels.decode(dataset)
    made = smaller(dataset, 2)
    step = int(np.ptp(whole.values)) / 40  # The hill rises by less from pixel to pixel.
    assert (whole.decoder, made.decoder) == ("openjpeg", reduced.NAME)
    assert made.values.dtype == whole.values.dtype
    assert np.abs(made.values.astype(int) - whole.values[::2, ::2]).max() <= step


@pytest.mark.parametrize(
    ("dataset", "times", "shape"),
    [
        pytest.param(image_of(HILL.astype("u2")), 1, (128, 160), id="not asked for"),
        pytest.param(image_of(HILL.astype("u2")), 3, (64, 80), id="by 3: by 2"),
        pytest.param(image_of(HILL.astype("u2")), 4, (32, 40), id="by 4"),
        pytest.param(image_of(HILL[:, :-1].astype("u2")), 2, (128, 159), id="an odd width"),
        pytest.param(image_of(HILL[:, :-2].astype("u2")), 4, (64, 79), id="halved once only"),
        pytest.param(
            image_of(HILL.astype("u1"), PhotometricInterpretation="PALETTE COLOR"),
            2,
            (128, 160),
            id="indices have no mean",
        ),
    ],
)
def test_how_small_a_frame_may_be(dataset: Dataset, times: int, shape: tuple[int, int]) -> None:
    assert smaller(dataset, times).values.shape == shape


def test_what_is_odd_or_broken_is_left_to_the_others() -> None:
    dataset = image_of((HILL * 10).astype("u2"), 12)
    one = bytearray(get_frame(dataset.PixelData, 0))
    at, known = layout(dataset), codestream(bytes(one))
    assert known is not None
    one[24:28] = (80).to_bytes(4, "big")  # XTsiz: now there are two tiles.
    assert reduced.decode(bytes(one), at, known, 2) is None
    dataset.PixelData = encapsulate([bytes(one[:200])])
    assert isinstance(
        thumbnail.render(dataset, config.Thumbnail(edge_px=64).picturing), thumbnail.NoPicture
    )


def test_a_decoder_that_fails_is_followed_by_the_whole_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError("broken")

    monkeypatch.setattr(reduced, "decode", fail)
    made = smaller(image_of(HILL.astype("u2")), 2)
    assert (made.values.shape, made.decoder) == ((128, 160), "openjpeg")


def softened(content: bytes) -> NDArray[np.int64]:
    image = Image.open(io.BytesIO(content)).filter(ImageFilter.BoxBlur(1.5))
    return np.asarray(image).astype(np.int64)


@pytest.mark.long
def test_thumbnails_of_real_files_are_those_of_the_whole_frames(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within 5 of 255 greys in the mean and 2 in brightness, edges softened: those are sharper."""
    options, compared = config.Thumbnail(format="png").picturing, 0
    for path in sorted(corpus.rglob("*")):
        try:
            dataset = pydicom.dcmread(path) if path.is_file() else Dataset()
        except InvalidDicomError:
            continue
        if getattr(dataset, "file_meta", {}).get("TransferSyntaxUID") not in reduced.SYNTAXES:
            continue
        made = thumbnail.render(dataset, options)
        if isinstance(made, thumbnail.NoPicture) or made.decoder != reduced.NAME:
            continue
        with monkeypatch.context() as patch:
            patch.setattr(reduced, "decode", lambda *_: None)
            whole = thumbnail.render(dataset, options)
        assert isinstance(whole, thumbnail.Picture)
        far = softened(made.content) - softened(whole.content)
        assert (made.window_source, np.abs(far).mean() <= 5, abs(far.mean()) <= 2) == (
            whole.window_source,
            True,
            True,
        ), path.name
        compared += 1
    assert compared >= 10
