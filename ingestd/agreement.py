"""Edge: what should agree within a study or a series, and does not.

One StudyInstanceUID with two PatientIDs is a mistake of somebody's, and the catalog must not
choose a winner in silence: each further value is a row in `problem`.
"""

from datetime import datetime

from ingestd import sql
from ingestd.catalog import Catalog


def note(catalog: Catalog, series: str, now: datetime) -> None:
    """Write what does not agree in a series and its study; once for each."""
    with catalog.transaction() as db:
        db.execute(sql.DISAGREEMENT, {"series": series, "at_utc": now})
