"""Edge: what should agree within a study or a series, and does not.

One StudyInstanceUID with two PatientIDs is a mistake of somebody's, and the catalog must not
choose a winner in silence: each further value is a row in `problem`.
"""

from datetime import datetime

from ingestd.catalog import Catalog

#: (what holds it together, what must be one): PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.7.4.1.
RULES = (
    ("StudyInstanceUID", "PatientID"),
    ("SeriesInstanceUID", "StudyInstanceUID"),
    ("SeriesInstanceUID", "Modality"),
    ("SeriesInstanceUID", "FrameOfReferenceUID"),
)

#: One row for each value after the first, with the first instance that brought it.
DISAGREEING = """
    INSERT INTO problem BY NAME
    WITH found AS (
        SELECT {keyword} AS value, min(instance_id) AS instance_id, count(*) AS instances
        FROM instance
        WHERE {keyword} IS NOT NULL
          AND {scope} IN (SELECT DISTINCT {scope} FROM instance WHERE SeriesInstanceUID = $1)
        GROUP BY {keyword}
    )
    SELECT i.SOPInstanceUID, i.root, i.path, 'disagreement' AS kind, '{keyword}' AS keyword,
        found.value AS raw,
        found.instances || ' instances of one {scope} have another {keyword} than the first'
            AS detail,
        $2 AS at_utc
    FROM found
    JOIN instance AS i USING (instance_id)
    WHERE found.instance_id > (SELECT min(instance_id) FROM found)
      AND NOT EXISTS (
        SELECT 1 FROM problem AS p
        WHERE p.kind = 'disagreement' AND p.keyword = '{keyword}'
          AND p.SOPInstanceUID = i.SOPInstanceUID)
"""


def note(catalog: Catalog, series: str, now: datetime) -> None:
    """Write what does not agree in a series and its study; once for each."""
    with catalog.transaction() as db:
        for scope, keyword in RULES:
            db.execute(DISAGREEING.format(scope=scope, keyword=keyword), [series, now])
