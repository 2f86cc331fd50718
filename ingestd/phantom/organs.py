"""Pure. What is inside the trunk of the CT phantom: organs of the belly and of the chest.

Lengths are in mm; see `phantom.ct` for the axes.
"""

import math

import numpy as np

from ingestd.phantom.paint import Blob, Canvas, Floats, section

HU = {
    "air": -1000.0,
    "lung": -860.0,
    "fat": -100.0,
    "gut": 25.0,
    "muscle": 60.0,
    "liver": 112.0,
    "lesion": 42.0,
    "spleen": 122.0,
    "kidney": 178.0,
    "pelvis": 8.0,
    "blood": 165.0,
    "vein": 140.0,
    "marrow": 190.0,
    "cortex": 640.0,
    "disc": 85.0,
    "cord": 35.0,
    "nodule": 45.0,
    "table": -250.0,
}

LESION = (-72.0, -22.0, 42.0, 15.0)  #: x, y, z, radius; in the liver
NODULE = (68.0, -5.0, 178.0, 7.0)  #: in the left lung


def abdomen(canvas: Canvas, z: float, inside: Floats) -> None:
    """Paint muscles, kidneys, bowel, stomach, spleen and liver."""
    for side in (-1, 1):  # psoas and crus beside the spine
        thick = 8 + 10 * max(0.0, min(1.0, (10 - z) / 70))
        canvas.paint(Blob(x=side * 33, y=36, rx=thick, ry=thick * 1.15, lumps=0.04), HU["muscle"])
        _kidney(canvas, z, side)
    _bowel(canvas, z, inside)
    _stomach(canvas, z, inside)
    wide = section(z, 62, 58)
    spleen = Blob(x=98, y=22, rx=34 * wide, ry=19 * wide, degrees=68, lumps=0.06, phase=2)
    canvas.paint(spleen, HU["spleen"], inside)
    _liver(canvas, z, inside)


def _kidney(canvas: Canvas, z: float, side: int) -> None:
    """Bright rim, darker pyramids, fat and urine where the vessels enter."""
    high = z - (8 if side > 0 else -4)
    wide = section(high, 0, 56)
    x, y = side * (64 - 0.09 * high), 38 - 0.12 * high
    turn = side * -28.0
    canvas.paint(Blob(x=x, y=y, rx=26 * wide, ry=31 * wide, degrees=turn, lumps=0.04), HU["kidney"])
    for k in range(5):
        angle = math.radians(k * 72 + z * 2.0)
        pyramid = Blob(
            x=x + 14 * wide * math.cos(angle),
            y=y + 17 * wide * math.sin(angle),
            rx=5 * wide,
            ry=6 * wide,
        )
        canvas.paint(pyramid, 130)
    gate = section(high, 0, 26)
    canvas.paint(Blob(x=x - side * 13, y=y - 3, rx=15 * gate, ry=9 * gate, degrees=turn), HU["fat"])
    canvas.paint(Blob(x=x - side * 11, y=y - 2, rx=8 * gate, ry=5 * gate), HU["pelvis"])


def _bowel(canvas: Canvas, z: float, inside: Floats) -> None:
    """Loops in front, some with gas; the colon at both sides."""
    for k in range(14):
        wave = math.sin(z / 17 + 2.4 * k)
        x = -88 + 15.5 * k * 0.92 + 9 * math.cos(z / 23 + k)
        y = -40 - 26 * math.sin(1.7 * k + z / 60) + 6 * wave
        size = (9 + 4 * wave) * min(1.0, max(0.0, (52 - z) / 30))
        canvas.paint(
            Blob(x=x, y=y, rx=size * 1.25, ry=size, lumps=0.1, phase=z / 20 + k), 62, inside
        )
        canvas.paint(Blob(x=x, y=y, rx=size * 0.9, ry=size * 0.65, lumps=0.1, phase=k), 22, inside)
        if k % 4 == 1:
            gas = Blob(x=x, y=y - size * 0.3, rx=size * 0.7, ry=size * 0.35)
            canvas.paint(gas, HU["air"], inside)
    for side in (-1, 1):
        size = 19 * min(1.0, max(0.0, ((20 if side < 0 else 45) - z) / 20))
        canvas.paint(
            Blob(x=side * 106, y=-8, rx=size, ry=size * 1.2, lumps=0.09, phase=z / 15), 55, inside
        )
        canvas.paint(
            Blob(x=side * 106, y=-8, rx=size * 0.8, ry=size, lumps=0.09, phase=z / 15), 30, inside
        )
        gas = Blob(x=side * 106, y=-15, rx=size * 0.65, ry=size * 0.5, lumps=0.1, phase=z / 9)
        canvas.paint(gas, -880, inside)


def _stomach(canvas: Canvas, z: float, inside: Floats) -> None:
    """Gas in front, fluid behind, with a level between them; the pancreas at its back."""
    wide = section(z, 62, 46)
    x, y = 42 + (z - 62) * 0.35, -38.0
    canvas.paint(Blob(x=x, y=y, rx=44 * wide, ry=29 * wide, degrees=14, lumps=0.04), 70, inside)
    where, cover = canvas.cover(
        Blob(x=x, y=y, rx=max(0.1, 40 * wide), ry=max(0.1, 25 * wide), degrees=14)
    )
    level = np.clip((canvas.axis[where[0], None] - (y - 6)) / canvas.pixel_mm + 0.5, 0, 1)
    content = HU["air"] + level * (HU["gut"] - HU["air"])
    if wide > 0.1:
        canvas.values[where] += cover * (content - canvas.values[where])
    gland = section(z, 22, 24)
    for k in range(6):
        piece = Blob(
            x=-22 + 16 * k,
            y=-4 + 3 * k - 10 * math.sin(k / 1.8),
            rx=11 * gland,
            ry=8 * gland,
            lumps=0.1,
            phase=k,
        )
        canvas.paint(piece, 98, inside)


def _liver(canvas: Canvas, z: float, inside: Floats) -> None:
    right, left = section(z, 52, 74), section(z, 68, 48)
    canvas.paint(
        Blob(x=-80, y=-8, rx=62 * right, ry=72 * right, lumps=0.03, phase=0.7), 112, inside
    )
    canvas.paint(
        Blob(x=-18, y=-48, rx=58 * left, ry=30 * left, degrees=-10, lumps=0.04), 112, inside
    )
    for k in range(7):  # Branches of the veins: each crosses the slice somewhere else.
        angle = 0.8 * k + z / 40
        reach = 18 + 5 * k
        x, y = -72 + reach * math.cos(angle), -10 + reach * math.sin(angle)
        size = 3.4 * right * (0.6 + 0.4 * math.sin(k + z / 11))
        canvas.paint(
            Blob(x=x, y=y, rx=size * 2.4, ry=size, degrees=math.degrees(angle)), 148, inside
        )
    if right > 0.5:
        canvas.paint(
            Blob(x=-52, y=14, rx=19 * section(z, 10, 22), ry=15 * section(z, 10, 22)), 12, inside
        )
    x, y, at, radius = LESION
    size = radius * section(z, at, radius)
    canvas.paint(
        Blob(x=x, y=y, rx=size + 2, ry=size + 1.5, lumps=0.04), 135 if size else HU["liver"], inside
    )
    canvas.paint(Blob(x=x, y=y, rx=size, ry=size * 0.95, lumps=0.05, phase=1), HU["lesion"], inside)


def chest(canvas: Canvas, z: float, inside: Floats) -> None:
    """Lungs down to where the diaphragm is, vessels in them, heart or great vessels between."""
    up = min(1.0, max(0.0, (z - 55) / 75))
    for side in (-1, 1):
        dome = Blob(x=side * 74, y=6, rx=78, ry=92)
        lung = canvas.mask(dome) * inside
        middle = canvas.mask(Blob(x=6, y=-8, rx=40 - 8 * up, ry=100))
        floor = canvas.mask(
            Blob(x=side * 66, y=-18, rx=86 * (1 - up) * 1.05 + 0.1, ry=84 * (1 - up) + 0.1)
        )
        air = lung * (1 - middle) * (1 - floor * (up < 1))
        canvas.values += air * (np.float32(HU["lung"]) - canvas.values)
        _lung_vessels(canvas, z, side, air)
    if z > 90:
        _heart(canvas, z)


def _lung_vessels(canvas: Canvas, z: float, side: int, air: Floats) -> None:
    for k in range(34):
        angle = k * 2.4 + 0.015 * z * (1 if k % 2 else -1)
        reach = 14 + 1.55 * k
        x, y = side * 62 + reach * 0.75 * math.cos(angle), 6 + reach * math.sin(angle)
        size = max(0.9, 3.6 - 0.075 * k) * (0.75 + 0.35 * math.sin(z / 8 + 5 * k))
        long = size * (1 + 1.6 * abs(math.sin(k + z / 14)))
        canvas.paint(Blob(x=x, y=y, rx=long, ry=size, degrees=math.degrees(angle)), 40, air)
    x, y, at, radius = NODULE
    if side > 0:
        size = radius * section(z, at, radius)
        canvas.paint(Blob(x=x, y=y, rx=size, ry=size, lumps=0.06), HU["nodule"], air)


def _heart(canvas: Canvas, z: float) -> None:
    """Chambers below 185 mm; above them the arch, the lung artery, the windpipe."""
    wide = section(z, 138, 56)
    canvas.paint(Blob(x=22, y=-26, rx=64 * wide, ry=50 * wide, degrees=28, lumps=0.03), HU["fat"])
    canvas.paint(Blob(x=22, y=-25, rx=59 * wide, ry=45 * wide, degrees=28, lumps=0.03), 88)
    for x, y, rx, ry, turn in (
        (44, -16, 25, 17, 32),
        (8, -44, 25, 14, 22),
        (4, 2, 25, 14, 8),
        (-24, -24, 15, 20, 10),
    ):
        canvas.paint(Blob(x=x, y=y, rx=rx * wide, ry=ry * wide, degrees=turn, lumps=0.05), 170)
    top = min(1.0, max(0.0, (z - 168) / 22))
    canvas.paint(Blob(x=-20, y=-22, rx=15 * top, ry=15 * top), 168)
    trunk = section(z, 194, 17)
    canvas.paint(Blob(x=14, y=-24, rx=26 * trunk, ry=13 * trunk, degrees=-18), 172)
    canvas.paint(Blob(x=-40, y=-12, rx=9 * top, ry=9 * top), 155)
    fork = min(1.0, max(0.0, (206 - z) / 24)) * 24
    for side in (-1, 1) if fork else (0,):
        size = (8.5 if fork < 20 else 6.0) * top
        canvas.paint(Blob(x=side * fork, y=-6 + fork / 6, rx=size + 1.6, ry=size + 1.2), 30)
        canvas.paint(Blob(x=side * fork, y=-6 + fork / 6, rx=size, ry=size * 0.95), HU["air"])
    canvas.paint(Blob(x=4, y=9, rx=8, ry=5.5), 45)
    bone = Blob(x=0, y=-93, rx=19, ry=5.5)
    canvas.paint(bone, 480)
    canvas.paint(Blob(x=0, y=-93, rx=16, ry=3.4), 170)
