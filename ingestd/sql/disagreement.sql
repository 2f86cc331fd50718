-- What does not agree in some series ($series) or their studies becomes a problem, once; $at_utc is
-- now.
-- One row for each value after the first, at the first instance that brought it.
-- PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.7.4.1 say what must be one.
INSERT INTO problem BY NAME
WITH related AS MATERIALIZED (
    SELECT instance_id, SeriesInstanceUID, StudyInstanceUID, PatientID, Modality,
        FrameOfReferenceUID
    FROM instance
    WHERE StudyInstanceUID IN (
        SELECT DISTINCT StudyInstanceUID FROM instance WHERE SeriesInstanceUID IN $series)
),
said AS (
    SELECT 'StudyInstanceUID' AS scope, StudyInstanceUID AS uid, 'PatientID' AS keyword,
        PatientID AS value, instance_id
    FROM related
    UNION ALL BY NAME
    UNPIVOT (
        SELECT instance_id, 'SeriesInstanceUID' AS scope, SeriesInstanceUID AS uid,
            StudyInstanceUID, Modality, FrameOfReferenceUID
        FROM related
        WHERE SeriesInstanceUID IN $series
    )
    ON StudyInstanceUID, Modality, FrameOfReferenceUID INTO NAME keyword VALUE value
),
found AS (
    SELECT scope, uid, keyword, value, min(instance_id) AS instance_id, count(*) AS instances
    FROM said
    WHERE value IS NOT NULL
    GROUP BY ALL
),
later AS (
    FROM found
    QUALIFY instance_id > min(instance_id) OVER (PARTITION BY scope, uid, keyword)
)
SELECT i.SOPInstanceUID, i.root, i.path, 'disagreement' AS kind, later.keyword,
    later.value AS raw,
    format('{} instances of one {} have another {} than the first',
        later.instances, later.scope, later.keyword) AS detail,
    $at_utc AS at_utc
FROM later
JOIN instance AS i USING (instance_id)
WHERE NOT EXISTS (
    SELECT 1 FROM problem AS p
    WHERE p.kind = 'disagreement' AND p.keyword = later.keyword
      AND p.SOPInstanceUID = i.SOPInstanceUID)
