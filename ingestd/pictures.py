"""Edge: pictures on demand: one image in a window that was asked for, or a series on one sheet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ingestd import sheet, slicefile, thumbnail
from ingestd.client import Client, quoted
from ingestd.errors import ConfigError, IngestError, SqlError
from ingestd.files import as_path
from ingestd.model import Picturing, SeriesFile

#: Windows that radiologists ask for by name, in Hounsfield units.
PRESETS = {
    "lung": (-600.0, 1500.0),
    "bone": (480.0, 2500.0),
    "soft": (40.0, 400.0),
    "brain": (40.0, 80.0),
}

QUALITY = 90  #: for jpeg and webp: who asks for one looks closely

FORMATS = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".webp": "webp",
}

Window = tuple[float, float]  # Center and width

#: Where the bytes of instances are, the file itself before its copies. Slices of the first stack
#: come in its order, all others by InstanceNumber.
FILES = """
    SELECT i.SOPInstanceUID, i.Modality, i.InstanceNumber, i.frames,
        list({{'root': f.root, 'path': f.path, 'size_bytes': f.size_bytes, 'mtime_ns': f.mtime_ns}}
            ORDER BY f.state, f.first_seen_utc, f.root, f.path) AS copies
    FROM instance AS i
    JOIN file AS f ON f.SOPInstanceUID = i.SOPInstanceUID AND f.digest = i.digest
    LEFT JOIN (
        SELECT SOPInstanceUID, min([stack, slice, timepoint]) AS place
        FROM volume_slice GROUP BY ALL
    ) AS s ON s.SOPInstanceUID = i.SOPInstanceUID
    WHERE f.state IN ('cataloged', 'duplicate') AND i.has_pixels AND {where}
    GROUP BY i.SOPInstanceUID, i.Modality, i.InstanceNumber, i.frames, s.place
    ORDER BY s.place NULLS LAST, i.InstanceNumber NULLS LAST, i.SOPInstanceUID
"""


class Image(NamedTuple):
    """An instance that has pixels."""

    file: SeriesFile
    modality: str | None
    number: int | None
    frames: int


class Shot(NamedTuple):
    """What to draw on a sheet: an image, one of its frames, and what stands below."""

    image: Image
    frame: int | None
    label: str


def instance(client: Client, uid: str, options: Picturing, **how: Any) -> thumbnail.Picture:
    """Make a picture of one instance; `how` as for `picture`.

    raises  SqlError when there is none of that name with pixels; IngestError when it cannot be
            read or decoded; ConfigError when a window makes no sense for it
    """
    images = _images(client, f"i.SOPInstanceUID = {quoted(uid)}")
    if not images:
        raise SqlError(f"no instance {uid} with pixels; `ingestd show {uid}` says what there is")
    made = picture(images[0], options, **how)
    if isinstance(made, thumbnail.NoPicture):
        raise IngestError(made.reason, made.detail)
    if how.get("window") and made.window_source != "given":
        raise ConfigError(f"--window {how['window']} is for grey images, and this one has colours")
    return made


def series(client: Client, uid: str, *, most: int, edge_px: int, window: str | None) -> bytes:
    """Make a contact sheet of a series, as a JPEG: at most `most` images, evenly spread.

    An image that cannot be shown leaves an empty place with its reason. One in colour among grey
    ones is shown as it is, whatever the window.
    raises  SqlError when there is no such series with pixels; ConfigError as `instance`
    """
    images = _images(client, f"i.SeriesInstanceUID = {quoted(uid)}")
    if not images:
        raise SqlError(f"no series {uid} with pixels; `ingestd show {uid}` says what there is")
    options = Picturing(edge_px=edge_px, format="png", quality=QUALITY)
    tiles, sources = [], set()
    for shot in spread(images, most):
        try:
            made = picture(shot.image, options, window=window, frame=shot.frame)
        except IngestError as error:
            made = thumbnail.NoPicture(reason=error.reason, detail=error.detail)
        if isinstance(made, thumbnail.Picture):
            sources.add(made.window_source)
            tiles.append(sheet.Tile(made.content, shot.label))
        else:
            tiles.append(sheet.Tile(None, f"{shot.label} {made.reason}"))
    if window and sources and "given" not in sources:
        raise ConfigError(f"--window {window} is for grey images, and these have colours")
    return sheet.draw(tiles, edge_px)


def spread(images: Sequence[Image], most: int) -> list[Shot]:
    """Choose what to show: of a single image its frames, else of each image the middle one."""
    if len(images) == 1 and images[0].frames > 1:
        frames = thinned(range(images[0].frames), most)
        return [Shot(images[0], at, f"frame {at + 1}") for at in frames]
    chosen = thinned(range(len(images)), most)
    few = [images[at] for at in chosen]
    return [Shot(one, None, "" if one.number is None else str(one.number)) for one in few]


def thinned(places: range, most: int) -> Sequence[int]:
    """Choose so many places, evenly, the first and the last among them."""
    if len(places) <= most:
        return places
    last = len(places) - 1
    return [places[round(at * last / max(1, most - 1))] for at in range(most)]


def picture(
    image: Image,
    options: Picturing,
    *,
    window: str | None = None,
    frame: int | None = None,
) -> thumbnail.Picture | thumbnail.NoPicture:
    """Read the file of an image again and make a picture of it.

    raises  IngestError when it cannot be read just now; ConfigError for a window by name of
            something else than CT, or a frame that is not there
    """
    if window in PRESETS and image.modality != "CT":
        words = f"--window {window} is for CT, this is {image.modality}; give CENTER/WIDTH"
        raise ConfigError(words)
    if frame is not None and not 0 <= frame < image.frames:
        raise ConfigError(f"--frame {frame}: it has {image.frames}, counted from 0")
    try:
        dataset = slicefile.whole(image.file)
    except IngestError as error:
        place = as_path(image.file.root, image.file.path)
        raise IngestError(error.reason, f"{place}: {error.detail}") from error
    return thumbnail.render(
        dataset, options, frame=frame, window=as_window(window) if window else None
    )


#: Beyond it, and below one part of it, a window means nothing, and arithmetic ends.
WIDEST = 1e9


def as_window(text: str) -> Window:
    """Read a window: a name of PRESETS, or CENTER/WIDTH.

    raises  ConfigError
    """
    if text in PRESETS:
        return PRESETS[text]
    center, _, width = text.partition("/")
    try:
        found = float(center), float(width)
    except ValueError:
        found = 0.0, 0.0
    if not (abs(found[0]) <= WIDEST and 1 / WIDEST <= found[1] <= WIDEST):
        known = ", ".join(PRESETS)
        raise ConfigError(f"--window {text}: give {known}, or CENTER/WIDTH such as 40/400")
    return found


def options_for(output: Path, edge_px: int) -> Picturing:
    """Choose the file format by the name of the file.

    raises  ConfigError
    """
    suffix = output.suffix.lower()
    if suffix not in FORMATS:
        raise ConfigError(f"-o {output}: the name must end in one of {', '.join(FORMATS)}")
    if not output.parent.is_dir():
        raise ConfigError(f"-o {output}: there is no folder {output.parent}")
    return Picturing(edge_px=edge_px, format=FORMATS[suffix], quality=QUALITY)


def _images(client: Client, where: str) -> list[Image]:
    rows = client.sql(FILES.format(where=where)).to_pylist()
    return [
        Image(
            SeriesFile.of(row["SOPInstanceUID"], [tuple(copy.values()) for copy in row["copies"]]),
            row["Modality"],
            row["InstanceNumber"],
            row["frames"] or 1,
        )
        for row in rows
    ]
