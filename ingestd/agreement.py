"""Edge: what should agree within a study or a series, and does not.

One StudyInstanceUID with two PatientIDs is a mistake of somebody's, and the catalog must not
choose a winner in silence: each further value is a row in `problem`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ingestd import sql


def note(db: Any, series: Sequence[str], now: datetime) -> None:
    """Write what does not agree in some series and their studies; once for each."""
    db.execute(sql.DISAGREEMENT, {"series": series, "at_utc": now})
