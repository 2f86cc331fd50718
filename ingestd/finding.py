"""Pure. What a look at the machine came to."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: Literal["good", "warning", "bad"]  #: warning: it works, but less well; bad: it does not
    detail: str
    advice: str = ""
