"""Pure. A trunk for a CT: Hounsfield units of slices from the kidneys up to the aortic arch.

Lengths are in mm, in the patient's LPS axes, but z = 0 is the middle of the kidneys. The patient
lies on the back; the vein carries contrast medium.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ingestd.phantom.organs import HU, abdomen, chest
from ingestd.phantom.paint import Blob, Canvas, Floats, grain

PIXELS = 256
PIXEL_MM = 400 / PIXELS
OUTSIDE = -3024.0  #: beyond the circle that the scanner reconstructs

SPINE_Y = 37.0
AORTA = (15.0, 8.0, 11.0)  #: x, y, radius; in front of the spine, on the left
RIB_STEP_MM = 25.0
VERTEBRA_MM = 34.0


def hounsfield(positions_mm: list[float], rng: np.random.Generator) -> Floats:
    """Image the trunk.

    positions_mm  z of each slice
    return        (slices, rows, columns), with noise
    """
    slices = np.stack([_slice(z) for z in positions_mm])
    noise = grain(rng, slices.shape[1:], 0.8)
    for index in range(len(slices)):  # One noise, shifted: each slice looks new, at no cost.
        shifted = np.roll(noise, (37 * index, 91 * index), axis=(0, 1))
        slices[index] += shifted * (11 if index % 2 else -11)
    slices[:, _outside()] = OUTSIDE
    return np.asarray(slices, dtype=np.float32)


def scout(rng: np.random.Generator) -> NDArray[np.int16]:
    """Image the trunk from the front: what a table drives through a still beam."""
    heights = np.arange(250.0, -150.0, -PIXEL_MM * 4)
    body = np.stack([_slice(float(z)) for z in heights])
    body[:, _outside()] = HU["air"]
    path = np.clip(body + 1000, 0, None).sum(axis=1) * PIXEL_MM / 10_000  # cm of water
    picture = _stretched(path)
    grey = np.sqrt(picture) * 190 - 620 + grain(rng, picture.shape, 0.6) * 6
    return np.clip(grey, -1024, 3071).astype(np.int16)


def _stretched(picture: Floats) -> Floats:
    """Give a picture as many rows as it has columns, with values between the ones it has."""
    at = np.linspace(0, len(picture) - 1, picture.shape[1])
    low = np.minimum(at.astype(int), len(picture) - 2)
    part = (at - low)[:, None].astype(np.float32)
    return np.asarray(picture[low] * (1 - part) + picture[low + 1] * part, dtype=np.float32)


def _outside() -> NDArray[np.bool_]:
    axis = np.arange(PIXELS) - (PIXELS - 1) / 2
    return np.asarray(np.hypot(axis[:, None], axis[None, :]) > PIXELS / 2)


def _slice(z: float) -> Floats:
    """Paint one slice, from the skin inwards."""
    canvas = Canvas(PIXELS, PIXEL_MM, HU["air"])
    canvas.values[:] = _table()
    inside = _walls(canvas, z)
    if z < 125:
        abdomen(canvas, z, inside)
    if z > 55:
        chest(canvas, z, inside)
    _vessels(canvas, z)
    _spine(canvas, z)
    _ribs(canvas, z)
    return canvas.values


@cache
def _table() -> Floats:
    """The couch: a thin curved shell with foam in it; the same in every slice."""
    canvas = Canvas(PIXELS, PIXEL_MM, HU["air"])
    for depth, value in ((0.0, HU["table"]), (3.0, -930.0)):
        shell = canvas.mask(Blob(x=0, y=1, rx=215 - depth, ry=126 - depth))
        hollow = canvas.mask(Blob(x=0, y=-25, rx=235 + depth, ry=130 + depth))
        cover = shell * (1 - hollow)
        canvas.values += cover * (np.float32(value) - canvas.values)
    canvas.values.flags.writeable = False
    return canvas.values


def _waist(z: float) -> float:
    """How wide the trunk is at a height, as part of its widest."""
    return 1.0 - 0.07 * math.exp(-(((z + 30) / 60) ** 2)) - 0.05 * max(0.0, z - 190) / 60


def _walls(canvas: Canvas, z: float) -> Floats:
    """Skin, fat and muscle; gives back the cover of what lies within them."""
    w = _waist(z)
    belly = 6 * math.cos(z / 90)
    canvas.paint(Blob(x=0, y=-8, rx=168 * w, ry=110, lumps=0.02, phase=1.5), HU["muscle"])
    canvas.paint(Blob(x=0, y=-8, rx=166 * w, ry=108, lumps=0.02, phase=1.5), HU["fat"])
    canvas.paint(Blob(x=0, y=-4, rx=148 * w, ry=94 + belly / 2, lumps=0.015), HU["muscle"])
    for side in (-1, 1):
        back = Blob(x=side * 34, y=73, rx=33, ry=18, degrees=side * -9, lumps=0.04)
        canvas.paint(back, HU["muscle"])
    room = Blob(x=0, y=-10, rx=136 * w, ry=82 + belly / 2, lumps=0.015)
    canvas.paint(room, HU["fat"])
    return canvas.mask(room)


def _vessels(canvas: Canvas, z: float) -> None:
    x, y, radius = AORTA
    canvas.paint(Blob(x=x, y=y, rx=radius, ry=radius), HU["blood"])
    canvas.paint(Blob(x=x - radius + 1.2, y=y + 5, rx=1.5, ry=3.0, degrees=15), 720)
    if z < 110:
        canvas.paint(Blob(x=-20, y=4, rx=13, ry=9.5, degrees=12), HU["vein"])
    if z < 30:
        canvas.paint(Blob(x=6, y=-16, rx=4.5, ry=4.5), HU["blood"])
        canvas.paint(Blob(x=-8, y=-18, rx=6, ry=5.5), HU["vein"])


def _spine(canvas: Canvas, z: float) -> None:
    """Bodies with a hard rim and discs between them; arch, canal, processes behind."""
    level = ((z + 200) % VERTEBRA_MM) / VERTEBRA_MM
    y = SPINE_Y
    if level < 0.2:
        canvas.paint(Blob(x=0, y=y, rx=24, ry=18, lumps=0.02), HU["disc"])
    else:
        rim = 520 if level < 0.3 or level > 0.9 else HU["cortex"]
        canvas.paint(Blob(x=0, y=y, rx=23.5, ry=17.5, lumps=0.02), rim)
        inner = 420 if level < 0.3 or level > 0.9 else HU["marrow"]
        canvas.paint(Blob(x=0, y=y, rx=21.5, ry=15.5, lumps=0.02), inner)
    for side in (-1, 1):
        if 0.5 < level < 0.85:
            canvas.paint(Blob(x=side * 15, y=y + 20, rx=5, ry=11), 560)
            canvas.paint(Blob(x=side * 15, y=y + 20, rx=3, ry=9), 230)
            canvas.paint(Blob(x=side * 33, y=y + 29, rx=17, ry=4.2, degrees=side * 14), 430)
        canvas.paint(Blob(x=side * 13, y=y + 34, rx=11, ry=4.5, degrees=side * -32), 520)
    canvas.paint(Blob(x=0, y=y + 25, rx=11.5, ry=9.5), HU["fat"])
    canvas.paint(Blob(x=0, y=y + 25, rx=9.5, ry=8), HU["cord"])
    if level < 0.75:
        canvas.paint(Blob(x=0, y=y + 43, rx=3.6, ry=12), 560)
        canvas.paint(Blob(x=0, y=y + 43, rx=1.8, ry=10), 240)


def _ribs(canvas: Canvas, z: float) -> None:
    """Ribs run down and forward: each slice cuts each of them at another angle."""
    w = _waist(z)
    for number in range(14):
        start = -5 + RIB_STEP_MM * number + 8
        turn = (start - z) / 1.05  # degrees from the back
        if not 16 < turn < min(138, 60 + 18 * number):  # The lowest ones are short.
            continue
        angle = math.radians(turn)
        x, y = 141 * w * math.sin(angle), -5 + 88 * math.cos(angle)
        along = math.degrees(math.atan2(-88 * math.sin(angle), 141 * w * math.cos(angle)))
        for side in (-1, 1):
            for long, thick, value in ((16.0, 5.2, 620.0), (13.5, 2.9, 220.0)):
                piece = Blob(x=side * x, y=y, rx=long, ry=thick, degrees=side * along)
                canvas.paint(piece, value)
