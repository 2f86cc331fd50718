"""DICOM drop folders become SQL, thumbnails and volumes."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingestd.client import open as open  # noqa: A004 -- ingestd.open() is the name

__version__ = "0.1.0"
__all__ = ["__version__", "open"]


def __getattr__(name: str) -> Any:
    """Load the client only when somebody asks for it: every command starts here."""
    if name == "open":
        from ingestd.client import open as open_  # noqa: PLC0415

        return open_
    raise AttributeError(f"module 'ingestd' has no attribute {name!r}")
