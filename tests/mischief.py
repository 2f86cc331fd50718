"""Somebody who works in drop folders for hours: brings, copies, overwrites, renames, deletes."""

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from small import content

SLICES = 12  #: of a series
JUNK = b"no DICOM, but it lies there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a file holds."""

    series: int  #: none below 0: junk
    at: int = 0
    version: int = 0

    @property
    def image(self) -> tuple[int, int]:
        """Which image it is, in whatever version."""
        return self.series, self.at

    def content(self) -> bytes:
        if self.series < 0:
            return JUNK * -self.series
        return content(self.series, self.at, slices=SLICES, version=self.version)


class Mischief:
    """Does one thing after the other in some places, and knows what lies where."""

    def __init__(self, places: Sequence[Path], seed: int, most: int) -> None:
        self.files: dict[Path, Held] = {}
        self.done: dict[str, int] = {}
        self.written = 0
        self._places, self._most = places, most
        self._rng = random.Random(seed)  # noqa: S311 - to be the same each time is the point
        self._series = self._names = self._junk = 0
        self._late: list[tuple[Path, Held]] = []
        self._deeds: dict[Callable[[], None], int] = {
            self.arrive: 8,
            self.come_late: 4,
            self.copy: 3,
            self.clash: 2,
            self.rewrite: 3,
            self.swap: 2,
            self.spoil: 2,
            self.rename: 3,
            self.rename_folder: 2,
            self.delete: 3,
            self.delete_folder: 4,
        }

    def step(self) -> None:
        """Do something."""
        deeds, weights = zip(*self._deeds.items(), strict=True)
        (deed,) = self._rng.choices(deeds, weights)
        if len(self.files) > self._most:
            deed = self.delete_folder
        elif len(self.files) < SLICES:
            deed = self.arrive
        deed()
        self.done[deed.__name__] = self.done.get(deed.__name__, 0) + 1

    def agree(self) -> None:
        """Keep one version of each image, so that the order of arrival does not matter."""
        versions: dict[tuple[int, int], set[int]] = {}
        for held in self.files.values():
            versions.setdefault(held.image, set()).add(held.version)
        for image, found in versions.items():
            kept = self._rng.choice(sorted(found))
            for path, held in list(self.files.items()):
                if held.image == image and held.version != kept:
                    self._unlink(path)

    def arrive(self) -> None:
        """A new series: file by file, or a folder at once; now and then one slice comes later."""
        self._series += 1
        every = [Held(series=self._series, at=at) for at in range(SLICES)]
        folder = self._new(self._rng.choice(self._places))
        if self._rng.random() < 0.3:
            self._late.append((folder, every.pop(self._rng.randrange(SLICES))))
        at_once = self._rng.random() < 0.5
        hidden = folder.with_name(f".{folder.name}") if at_once else folder
        hidden.mkdir()
        for held in every:
            self._write(hidden / f"{held.at}", held)
        if at_once:
            self._move(hidden, folder)

    def come_late(self) -> None:
        if self._late:
            folder, held = self._late.pop(self._rng.randrange(len(self._late)))
            folder.mkdir(exist_ok=True)
            self._write(folder / "late", held)

    def copy(self) -> None:
        self._write(self._beside(), self.files[self._one()])

    def clash(self) -> None:
        """The same UID with other bytes, somewhere else."""
        self._write(self._beside(), self._other(self.files[self._one()]))

    def rewrite(self) -> None:
        """Other bytes under the same UID and name."""
        path = self._one()
        self._overwrite(path, self._other(self.files[path]))

    def swap(self) -> None:
        """Another image under the same name."""
        self._series += 1
        self._overwrite(self._one(), Held(series=self._series, at=self._rng.randrange(SLICES)))

    def spoil(self) -> None:
        self._junk += 1
        self._overwrite(self._one(), Held(series=-1 - self._junk % 50))

    def rename(self) -> None:
        path = self._one()
        target = self._beside()
        shutil.move(path, target)
        self.files[target] = self.files.pop(path)

    def rename_folder(self) -> None:
        folder = self._one().parent
        self._move(folder, self._new(self._rng.choice(self._places)))

    def delete(self) -> None:
        self._unlink(self._one())

    def delete_folder(self) -> None:
        folder = self._one().parent
        shutil.rmtree(folder)
        self.files = {path: held for path, held in self.files.items() if path.parent != folder}

    def _one(self) -> Path:
        return self._rng.choice(list(self.files))

    def _new(self, folder: Path) -> Path:
        self._names += 1
        return folder / f"n{self._names}"

    def _beside(self) -> Path:
        """A new name in a folder that is there, in any place."""
        return self._new(self._one().parent)

    def _other(self, held: Held) -> Held:
        return replace(held, version=held.version + self._rng.randint(1, 3))

    def _write(self, path: Path, held: Held) -> None:
        path.write_bytes(held.content())
        self.files[path] = held
        self.written += 1

    def _overwrite(self, path: Path, held: Held) -> None:
        """In place, or by a file that takes the name."""
        if self._rng.random() < 0.5:
            self._write(path, held)
            return
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(held.content())
        part.replace(path)
        self.files[path] = held
        self.written += 1

    def _unlink(self, path: Path) -> None:
        path.unlink()
        del self.files[path]

    def _move(self, folder: Path, target: Path) -> None:
        shutil.move(folder, target)
        self.files = {
            target / path.name if path.parent == folder else path: held
            for path, held in self.files.items()
        }
