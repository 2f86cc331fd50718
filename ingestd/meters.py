"""Pure. What is measured on the way; whoever wants to know overrides these."""

from ingestd.model import Written


class Meters:
    """Nobody listens."""

    def found_by_sweep(self, root: str, files: int) -> None:
        """A sweep found files of which no hint had told."""

    def settled(self, seconds: float) -> None:
        """A file stood still for long enough, so long after its last change was seen."""

    def arrived(self, seconds: float) -> None:
        """A file has its row, so long after its last change was seen."""

    def committed(self, seconds: float, written: Written, size_bytes: int) -> None:
        """A batch is in the catalog."""

    def asked(self, seconds: float, outcome: str) -> None:
        """A query was answered, or was not."""
