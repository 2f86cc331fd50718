"""Pure. A head for an MR with two echoes: proton density and T2.

Lengths are in mm; z = 0 is the level of the ventricles' bodies, the slices lie parallel. The
folds of the brain are where a smooth random field is near zero, so they run on from slice to
slice as real ones do.
"""

import numpy as np

from ingestd.phantom.paint import Blob, Canvas, Floats, grain, section

PIXELS = 224
PIXEL_MM = 240 / PIXELS

#: Signal in the two echoes; made so that fluid is brighter than grey than white matter in T2.
SIGNAL = {
    "air": (8.0, 6.0),
    "scalp": (820.0, 470.0),
    "muscle": (520.0, 170.0),
    "bone": (70.0, 40.0),
    "marrow": (420.0, 240.0),
    "fluid": (610.0, 1050.0),
    "grey": (800.0, 560.0),
    "white": (640.0, 370.0),
    "nucleus": (740.0, 450.0),
    "iron": (600.0, 260.0),
    "vessel": (60.0, 30.0),
    "lesion": (860.0, 830.0),
}
LESION = (34.0, -18.0, 21.0, 6.0)  #: x, y, z, radius; beside the left ventricle


class _Slice:
    """A slice in both echoes at once."""

    def __init__(self) -> None:
        self.grid = Canvas(PIXELS, PIXEL_MM, 0.0)
        self.echoes: Floats = np.empty((2, PIXELS, PIXELS), dtype=np.float32)
        self.echoes[:] = _signal("air")

    def paint(self, blob: Blob, tissue: str, within: Floats | None = None) -> None:
        """Put a tissue where a blob is; with `within`, only where that lets it."""
        if blob.rx <= 0 or blob.ry <= 0:
            return
        where, cover = self.grid.cover(blob)
        self.blend(cover if within is None else cover * within[where], tissue, where)

    def blend(
        self, cover: Floats, tissue: str, where: tuple[slice, slice] = (slice(None), slice(None))
    ) -> None:
        """Put a tissue into a part of each pixel."""
        at = (slice(None), *where)
        self.echoes[at] += cover * (_signal(tissue) - self.echoes[at])


def two_echoes(positions_mm: list[float], rng: np.random.Generator) -> Floats:
    """Image the head.

    positions_mm  of each slice along the normal
    return        (echoes, slices, rows, columns), with noise
    """
    folds = _folds(len(positions_mm), rng)
    slices = [_head(z, fold) for z, fold in zip(positions_mm, folds, strict=True)]
    echoes = np.stack(slices, axis=1)
    axis = np.linspace(-1, 1, PIXELS, dtype=np.float32)
    echoes *= 1.12 - 0.16 * (axis[:, None] ** 2 + axis[None, :] ** 2) + 0.05 * axis[:, None]
    real = grain(rng, (PIXELS, PIXELS), 0.5) * 13
    imaginary = grain(rng, (PIXELS, PIXELS), 0.5) * 13
    for index, one in enumerate(echoes.reshape(-1, PIXELS, PIXELS)):
        shift = (41 * index, 67 * index)  # One noise, shifted, as in the trunk.
        noisy = one + np.roll(real, shift, axis=(0, 1))
        one[:] = np.hypot(noisy, np.roll(imaginary, shift, axis=(0, 1)))  # a magnitude image
    return echoes


def _signal(tissue: str) -> Floats:
    return np.array(SIGNAL[tissue], dtype=np.float32)[:, None, None]


def _folds(slices: int, rng: np.random.Generator) -> Floats:
    """Make a field that is smooth over some mm; it is zero along winding surfaces."""
    step = 4
    coarse = grain(rng, (slices + 4, PIXELS // step, PIXELS // step), 1.05)[2:-2]
    fine = coarse.repeat(step, axis=1).repeat(step, axis=2)
    for axis in (1, 2):
        weights = zip((1, 2, 3, 4, 3, 2, 1), range(-3, 4), strict=True)
        fine = np.sum([np.roll(fine, k, axis=axis) * (w / 16) for w, k in weights], axis=0)
    return np.asarray(fine, dtype=np.float32)


def _head(z: float, fold: Floats) -> Floats:
    """Paint one slice, from the scalp inwards."""
    one = _Slice()
    wide = section(z, -5, 101) if z > -5 else 1.0
    one.paint(Blob(x=0, y=0, rx=79 * wide, ry=99 * wide, lumps=0.012), "muscle")
    one.paint(Blob(x=0, y=0, rx=78 * wide, ry=98 * wide, lumps=0.012), "scalp")
    one.paint(Blob(x=0, y=0, rx=74 * wide, ry=93 * wide, lumps=0.01), "bone")
    one.paint(Blob(x=0, y=0, rx=71 * wide, ry=90 * wide, lumps=0.01), "marrow")
    one.paint(Blob(x=0, y=0, rx=69.5 * wide, ry=88 * wide, lumps=0.01), "bone")
    if z < -30:
        _face(one, z)
    brain = section(z, -5, 92) if z > -5 else 1.0
    room = Blob(x=0, y=2, rx=67 * brain, ry=84 * brain, lumps=0.01)
    if z > -30:
        one.paint(room, "fluid")
        _lobe(one, Blob(x=0, y=2, rx=65 * brain, ry=82 * brain, lumps=0.01), fold)
        _midline(one, z, brain)
        _depths(one, z)
    else:
        _base(one, z, fold)
    return one.echoes


def _lobe(one: _Slice, blob: Blob, fold: Floats) -> None:
    """Grey rim and white core; the folds carry fluid in and grey with it."""
    cover = one.grid.mask(blob)
    dx, dy = one.grid.axis[None, :] - blob.x, one.grid.axis[:, None] - blob.y
    depth = (1 - np.hypot(dx / blob.rx, dy / blob.ry)) * min(blob.rx, blob.ry)
    one.blend(cover, "grey")
    away = np.abs(fold)
    outer = np.clip((30 - depth) / 8, 0, 1)
    rim = np.maximum(np.clip((5.5 - depth) / 1.5, 0, 1), np.clip((0.62 - away) / 0.2, 0, 1) * outer)
    one.blend(cover * (1 - rim), "white")
    sulcus = np.clip((0.20 - away) / 0.14, 0, 1) * np.clip((21 - depth) / 7, 0, 1)
    one.blend(cover * sulcus, "fluid")


def _midline(one: _Slice, z: float, brain: float) -> None:
    """The fissure between the halves, and the beam that joins them."""
    for y, ry in ((-62 * brain, 24 * brain), (60 * brain, 24 * brain)):
        one.paint(Blob(x=0, y=y, rx=4.5, ry=ry), "grey")
        one.paint(Blob(x=0, y=y, rx=1.6, ry=ry), "fluid")
    if z > 34:
        one.paint(Blob(x=0, y=2, rx=4.5, ry=60 * brain), "grey")
        one.paint(Blob(x=0, y=2, rx=1.6, ry=78 * brain), "fluid")
    elif z > -12:
        one.paint(Blob(x=0, y=-33, rx=17, ry=6), "white")
        one.paint(Blob(x=0, y=34, rx=19, ry=7), "white")


def _depths(one: _Slice, z: float) -> None:
    """Nuclei and ventricles."""
    core, low = section(z, 2, 26), section(z, -6, 24)
    for side in (-1, 1):
        one.paint(Blob(x=side * 43, y=-6, rx=6 * low, ry=21 * low, degrees=side * 8), "grey")
        one.paint(Blob(x=side * 46, y=-6, rx=3.2 * low, ry=19 * low, degrees=side * 8), "fluid")
        one.paint(
            Blob(x=side * 27, y=-8, rx=6.5 * core, ry=18 * core, degrees=side * -12), "nucleus"
        )
        one.paint(Blob(x=side * 19, y=-4, rx=5 * core, ry=11 * core, degrees=side * -24), "iron")
        one.paint(
            Blob(x=side * 11, y=9, rx=9.5 * core, ry=14 * core, degrees=side * -18), "nucleus"
        )
        body = section(z, 18, 17)
        one.paint(Blob(x=side * 15, y=2, rx=6 * body, ry=37 * body, degrees=side * 7), "fluid")
        horn = section(z, 6, 18)
        one.paint(
            Blob(x=side * 18, y=-27, rx=5.5 * horn, ry=9 * horn, degrees=side * -30), "nucleus"
        )
        one.paint(Blob(x=side * 10, y=-30, rx=5 * horn, ry=13 * horn, degrees=side * -24), "fluid")
        one.paint(Blob(x=side * 25, y=38, rx=6 * horn, ry=18 * horn, degrees=side * -16), "fluid")
    third = section(z, -4, 15)
    one.paint(Blob(x=0, y=4, rx=2.6 * third, ry=13 * third), "fluid")
    one.paint(Blob(x=0, y=-12, rx=15 * section(z, -25, 9), ry=9 * section(z, -25, 9)), "fluid")
    x, y, at, radius = LESION
    size = radius * section(z, at, radius)
    one.paint(Blob(x=x, y=y, rx=size, ry=size * 0.8, lumps=0.08), "lesion")


def _face(one: _Slice, z: float) -> None:
    """Eyes in their fat, air in the nose, the bone between them and the brain."""
    one.paint(Blob(x=0, y=-58, rx=58, ry=40), "bone")
    one.paint(Blob(x=0, y=-72, rx=9, ry=22), "air")
    eye = section(z, -42, 13)
    for side in (-1, 1):
        one.paint(Blob(x=side * 32, y=-66, rx=18 * eye, ry=26 * eye, degrees=side * -14), "scalp")
        one.paint(Blob(x=side * 27, y=-54, rx=3 * eye, ry=15 * eye, degrees=side * -22), "muscle")
        one.paint(Blob(x=side * 32, y=-79, rx=12.5 * eye, ry=12.5 * eye), "bone")
        one.paint(Blob(x=side * 32, y=-79, rx=11.5 * eye, ry=11.5 * eye), "fluid")
        one.paint(Blob(x=side * 32, y=-87, rx=5 * eye, ry=2.6 * eye), "muscle")


def _base(one: _Slice, z: float, fold: Floats) -> None:
    """Temporal lobes in front, the stem in the middle, the cerebellum behind."""
    for side in (-1, 1):
        pole = Blob(x=side * 40, y=-14, rx=25, ry=30, degrees=side * 20, lumps=0.03)
        one.paint(Blob(x=pole.x, y=pole.y, rx=27, ry=32, degrees=pole.degrees), "fluid")
        _lobe(one, pole, fold)
        one.paint(Blob(x=side * 52, y=28, rx=13, ry=7, degrees=side * -35), "bone")
        one.paint(Blob(x=side * 52, y=28, rx=6, ry=2.5, degrees=side * -35), "air")
    one.paint(Blob(x=0, y=46, rx=53, ry=38, lumps=0.02), "fluid")
    small = Blob(x=0, y=46, rx=51, ry=36, lumps=0.02)
    cover = one.grid.mask(small)
    one.blend(cover, "grey")
    radius = np.hypot(one.grid.axis[None, :], 1.25 * (one.grid.axis[:, None] - 18))
    leaves = np.clip(np.sin(radius * 1.25 + fold) * 1.4, 0, 1) * np.clip((radius - 12) / 6, 0, 1)
    one.blend(cover * leaves * 0.55, "fluid")
    for side in (-1, 1):
        one.paint(Blob(x=side * 20, y=42, rx=20, ry=13, degrees=side * 24, lumps=0.08), "white")
    one.paint(Blob(x=0, y=4, rx=22, ry=20), "fluid")
    one.paint(Blob(x=0, y=8, rx=17, ry=14, lumps=0.04), "white")
    one.paint(Blob(x=0, y=-9, rx=2.2, ry=2.2), "vessel")
    one.paint(Blob(x=0, y=25, rx=8 * section(z, -42, 14), ry=5), "fluid")
