"""Pure. What the InstanceNumbers of a series tell: holes, repetitions, the order of sending."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise, takewhile
from typing import Generic, Protocol, TypeVar


class Numbered(Protocol):
    """An image, as far as its number goes."""

    @property
    def InstanceNumber(self) -> int | None:  # noqa: N802 -- DICOM's name
        """The number that the sender gave it."""
        ...

    @property
    def moment(self) -> object:
        """What tells it from another image at the same position."""
        ...


T = TypeVar("T", bound=Numbered)


class Numbers(Generic[T]):
    """The InstanceNumbers of some images. What no image says is not guessed."""

    def __init__(self, images: Sequence[T]) -> None:
        self._images = images
        known = [image.InstanceNumber for image in images]
        self._all = sorted(number for number in known if number is not None)
        self._known = bool(known) and None not in known
        self.distinct = len(set(self._all)) == len(self._all)

    def holes(self, *, upto: int | None = None) -> list[int]:
        """Name the numbers that are missing.

        upto    how many there should be; then a loss at the start or the end shows as well
        return  nothing when a scheme of its own numbers the images: steps, or mostly holes
        """
        if not self._known or not self.distinct or self._strides():
            return []
        first, last = self._all[0], self._all[-1]
        if upto is not None and first >= 1 and last <= upto:
            first, last = 1, upto
        elif last - first + 1 > max(2 * len(self._all), upto or 0):
            return []  # Nor are they counted out: they may be anything, up to 2 to the 31st.
        return sorted(set(range(first, last + 1)) - set(self._all))

    def fault(self) -> str | None:
        """Say what speaks against these being all the images that were counted."""
        if not self._known:
            return None
        if not self.distinct:
            twice, times = Counter(self._all).most_common(1)[0]
            return f"InstanceNumber {twice} comes {times} times"
        first, last = self._all[0], self._all[-1]
        if last - first + 1 == len(self._all) or self._strides():
            return None
        return f"InstanceNumber {first}..{last} has holes"

    def last_block(self, of: Callable[[T], object] = lambda image: image.moment) -> int:
        """Count the images of the last echo or moment, back to where another one begins.

        of      what tells them apart
        return  0 when the order is not known; 1 when echoes or moments alternate
        """
        if not self._known or not self.distinct:
            return 0
        ordered = sorted(self._images, key=lambda image: image.InstanceNumber or 0, reverse=True)
        last = of(ordered[0])
        return sum(1 for _ in takewhile(lambda image: of(image) == last, ordered))

    def words(self) -> str:
        """Describe numbers in which no hole was found."""
        if not self._known:
            return "InstanceNumber is not in each image"
        first, last = self._all[0], self._all[-1]
        span = f"InstanceNumber {first}" + (f"..{last}" if last > first else "")
        if not self.distinct:
            return f"{span}, repeated"
        return f"{span} in steps" if self._strides() else span

    def _strides(self) -> bool:
        """Whether the numbers go in equal steps of more than one."""
        gaps = {b - a for a, b in pairwise(self._all)}
        return len(self._all) > 2 and len(gaps) == 1 and gaps != {1}
