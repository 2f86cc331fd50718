"""Pure. Small pictures side by side on one sheet, each with a line of text below."""

from io import BytesIO
from typing import NamedTuple

from PIL import Image, ImageDraw

GAP_PX, TEXT_PX = 4, 14
GROUND, INK = (24, 24, 24), (200, 200, 200)
MOST_PX = 65_000  #: what a JPEG may be wide or high


class Tile(NamedTuple):
    """One place on the sheet."""

    content: bytes | None  #: an encoded picture; None leaves the place empty
    label: str


def draw(tiles: list[Tile], edge_px: int) -> bytes:
    """Draw a sheet about as high as wide.

    edge_px  the longest edge of the pictures
    return   a JPEG
    """
    across, down = _shape(len(tiles), edge_px)
    wide, high = edge_px + GAP_PX, edge_px + GAP_PX + TEXT_PX
    image = Image.new("RGB", (across * wide + GAP_PX, down * high + GAP_PX), GROUND)
    pen = ImageDraw.Draw(image)
    for index, tile in enumerate(tiles):
        left, top = GAP_PX + index % across * wide, GAP_PX + index // across * high
        if tile.content is None:
            pen.rectangle((left, top, left + edge_px - 1, top + edge_px - 1), outline=INK)
        else:
            with Image.open(BytesIO(tile.content)) as one:
                place = left + (edge_px - one.width) // 2, top + (edge_px - one.height) // 2
                image.paste(one, place)
        pen.text((left, top + edge_px + 1), _fitting(pen, tile.label, edge_px), fill=INK)
    out = BytesIO()
    image.save(out, "jpeg", quality=90)
    return out.getvalue()


def _shape(count: int, edge_px: int) -> tuple[int, int]:
    """Give columns and rows for so many tiles."""
    across = 1
    while across * across < count:
        across += 1
    down = -(-count // across)
    assert across * (edge_px + GAP_PX + TEXT_PX) <= MOST_PX, "no JPEG is that large"
    return across, down


def _fitting(pen: ImageDraw.ImageDraw, text: str, width_px: int) -> str:
    while text and pen.textlength(text) > width_px:
        text = text[:-1]
    return text
