"""Curves over time as a small SVG that needs no program to be drawn."""

from collections.abc import Mapping, Sequence

WIDE, HIGH, LEFT, TOP = 760, 300, 64, 34  # of the field of the curves, and where it begins
COLOURS = ("#1f6fb2", "#d9822b", "#3a8f5c", "#8a4fa3")
POINTS = 300  # of a curve, at most


def svg(title: str, unit: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Draw curves; each point is seconds and a value in `unit`."""
    last_s = max(x for points in curves.values() for x, _ in points)
    most = rounded(max(y for points in curves.values() for _, y in points))
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDE + 90}" height="{HIGH + 90}"'
            ' font-family="sans-serif" font-size="13" fill="#333">'
        ),
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{title}</text>',
    ]
    for part in range(5):
        y = TOP + HIGH - HIGH * part / 4
        parts += [
            f'<path d="M{LEFT} {y:g}h{WIDE}" stroke="#ddd"/>',
            f'<text x="{LEFT - 8}" y="{y + 4:g}" text-anchor="end">{most * part / 4:g}</text>',
            (
                f'<text x="{LEFT + WIDE * part / 4:g}" y="{TOP + HIGH + 18}" text-anchor="middle">'
                f"{last_s * part / 4:.0f} s</text>"
            ),
        ]
    parts.append(f'<text x="{LEFT - 8}" y="{TOP - 10}" text-anchor="end">{unit}</text>')
    for number, (name, points) in enumerate(curves.items()):
        colour, step = COLOURS[number], -(-len(points) // POINTS)
        line = " ".join(
            f"{LEFT + WIDE * x / last_s:.1f},{TOP + HIGH - HIGH * y / most:.1f}"
            for x, y in points[::step]
        )
        parts += [
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6"/>',
            f'<text x="{LEFT + 230 * number}" y="{TOP + HIGH + 44}" fill="{colour}">{name}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def rounded(most: float) -> float:
    """Give a number a little above, that divides by four."""
    step = 4.0
    while step * 10 < most:
        step *= 10
    return next(step * part for part in (1, 1.5, 2, 3, 4, 5, 6, 7.5, 10) if step * part >= most)
