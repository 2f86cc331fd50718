"""Pure. A beating heart for an ultrasound clip: a sector in grey, blood flow in colour.

A valve opens and shuts once in a clip; a jet flows through it while it is open. The curve below
is a heart beat with a line where the frame is.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ingestd.phantom.paint import Floats, grain

ROWS, COLUMNS = 240, 320
APEX = (12.0, 160.0)  #: row and column of the transducer
DEPTH = 196.0  #: pixels
HALF_ANGLE = math.radians(41)
PIXEL_CM = 14.0 / DEPTH
REGION = (40, 10, 279, 209)  #: x0, y0, x1, y1 of the sector


def clip(frames: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Image the heart over one beat; return (frames, rows, columns, 3)."""
    row, column = np.mgrid[:ROWS, :COLUMNS].astype(np.float32)
    down, across = row - APEX[0], column - APEX[1]
    depth, angle = np.hypot(down, across), np.arctan2(across, down)
    inside = ((np.abs(angle) < HALF_ANGLE) & (depth > 6) & (depth < DEPTH)).astype(np.float32)
    speckle = _speckle(depth, angle, rng)
    pictures = np.zeros((frames, ROWS, COLUMNS, 3), dtype=np.float32)
    for index, picture in enumerate(pictures):
        beat = index / frames
        still = np.roll(speckle, round(3 * math.sin(2 * math.pi * beat)), axis=0)
        grey = _grey(down, across, depth, beat) * still * inside
        picture[:] = np.clip(grey, 0, 235)[..., None]
        _flow(picture, down, across, beat, still * inside)
        _frills(picture, beat)
    return np.clip(pictures, 0, 255).astype(np.uint8)


def _speckle(depth: Floats, angle: Floats, rng: np.random.Generator) -> Floats:
    """Grain that is fine along the beam and wide across it, wider the deeper."""
    real, imaginary = (grain(rng, (256, 128), 0.7) for _ in range(2))
    polar = np.hypot(real, imaginary) / 1.25
    rows = np.clip(depth * (255 / DEPTH), 0, 255).astype(int)
    columns = np.clip((angle / HALF_ANGLE + 1) * 63.5, 0, 127).astype(int)
    return np.asarray(polar[rows, columns], dtype=np.float32)


def _in(down: Floats, across: Floats, at: tuple[float, float], size: tuple[float, float]) -> Floats:
    """Say how far inside an ellipse each pixel is: 1 well inside, 0 outside, soft between."""
    radius = np.hypot((down - at[0]) / size[0], (across - at[1]) / size[1])
    inside = (1 - radius) * min(size) / 5 + 0.5
    return np.asarray(np.clip(inside, 0, 1), dtype=np.float32)


def _open(beat: float) -> float:
    """How far the valve is open: it opens fast, shuts slowly, and rests shut."""
    return max(0.0, math.sin(math.pi * min(1.0, beat / 0.62))) ** 0.7 if beat < 0.62 else 0.0


def _grey(down: Floats, across: Floats, depth: Floats, beat: float) -> Floats:
    """Walls bright, blood dark; the chambers swell and shrink."""
    swell = 1 + 0.10 * math.sin(math.pi * min(1.0, beat / 0.62)) - 0.05
    tissue: Floats = np.full_like(depth, 62)
    chambers = (
        ((72.0, 17.0), (48.0 * swell, 24.0 * swell)),
        ((76.0, -32.0), (40.0, 18.0)),
        ((150.0, 20.0), (30.0, 27.0 / swell)),
        ((148.0, -34.0), (27.0, 23.0)),
    )
    for at, (long, wide) in chambers:
        wall = _in(down, across, at, (long + 5, wide + 5))
        tissue += wall * (128 - tissue)
        tissue += _in(down, across, at, (long, wide)) * (7 - tissue)
    for side in (-1, 1):
        _leaflet(tissue, down, across, hinge=(112.0, 18.0 + side * 23), side=side, wide=_open(beat))
        _leaflet(
            tissue, down, across, hinge=(114.0, -33.0 + side * 17), side=side, wide=_open(beat)
        )
    pericardium = np.exp(-(((np.hypot(down - 100, across) - 88) / 3.5) ** 2))
    grey = (tissue + 120 * pericardium) * (1.15 - depth / 420)
    return np.asarray(grey, dtype=np.float32)


def _leaflet(
    tissue: Floats,
    down: Floats,
    across: Floats,
    *,
    hinge: tuple[float, float],
    side: int,
    wide: float,
) -> None:
    """Draw one half of a valve: a bright line from its hinge to the middle or down the stream."""
    turn = math.radians(12 + 62 * wide)
    dx, dy = -side * math.cos(turn), -math.sin(turn)
    u = (across - hinge[1]) * dx + (down - hinge[0]) * dy
    v = (across - hinge[1]) * dy - (down - hinge[0]) * dx
    length = 22.0
    line = np.exp(-((v / 2.1) ** 2)) * ((u > 0) & (u < length))
    tissue += line * (190 - tissue)


def _flow(picture: Floats, down: Floats, across: Floats, beat: float, speckle: Floats) -> None:
    """Colour: red towards the transducer through the open valve, blue away once it is shut."""
    speed = _open(beat)
    box = (np.abs(across - 18) < 26) & (down > 58) & (down < 158)
    if speed > 0.15:
        jet = _in(down, across, (100.0, 18.0), (38.0, 4.0 + 9 * speed)) * speed
        low, high = np.array([150, 10, 0]), np.array([255, 215, 40])
    else:
        jet = _in(down, across, (134.0, 14.0), (22.0, 7.0)) * (1 - speed) * 0.9
        low, high = np.array([0, 20, 150]), np.array([60, 220, 255])
    part = np.clip(jet * (0.65 + 0.35 * speckle), 0, 1)[..., None]
    colour = low + (high - low) * part**1.5
    seen = (part > 0.3) & box[..., None]
    picture[:] = np.where(seen, colour, picture)
    edge = box & ((np.abs(across - 18) > 24.5) | (down < 60) | (down > 156))
    picture[edge] = (120, 120, 120)


def _frills(picture: Floats, beat: float) -> None:
    """The depth scale, both bars, and the heart beat."""
    for k in range(15):
        row = int(APEX[0] + k * DEPTH / 14)
        picture[row, 300 : 308 if k % 5 else 314] = 200
    ramp = np.linspace(235, 0, 90, dtype=np.float32)
    picture[20:110, 8:16] = ramp[:, None, None]
    hot = np.linspace(1, -1, 90, dtype=np.float32)[:, None]
    picture[118:208, 8:16] = np.concatenate(
        [np.clip(hot, 0, 1) * 255, np.abs(hot) ** 3 * 200, np.clip(-hot, 0, 1) * 255], axis=1
    )[:, None, :]
    time = np.linspace(0, 1, 240)
    curve = 222 - 14 * np.exp(-(((time - 0.3) / 0.012) ** 2))
    curve += 5 * np.exp(-(((time - 0.33) / 0.012) ** 2)) - 4 * np.exp(
        -(((time - 0.55) / 0.05) ** 2)
    )
    curve -= 2.5 * np.exp(-(((time - 0.18) / 0.03) ** 2))
    rows = np.rint(curve).astype(int)
    for column, (row, before) in enumerate(zip(rows, np.r_[rows[:1], rows[:-1]], strict=True)):
        picture[min(row, before) : max(row, before) + 1, 40 + column] = (60, 220, 90)
    picture[206:234, 40 + round(beat * 239)] = (200, 200, 60)
