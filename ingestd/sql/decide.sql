-- What each file of a batch is to the catalog: the first step of writing it.
--
-- Comes in as views: incoming_file, incoming_instance, incoming_attribute, incoming_element,
-- incoming_problem (the schemas of ingestd/tables.py), verdict (reason, verdict) and setting (one
-- row: at_utc, attempts, first_s, limit_s); and as temporary tables: `known`, the rows of
-- `instance` that the batch is about, and `met`, those of `attribute`. All four steps run inside one transaction: this one, make_way.sql,
-- write_batch.sql and displaced.sql. A batch that meets nothing known needs two of them only.
--
-- Nothing here may read all of `instance` or `file`: a join with them costs more, with millions
-- of rows, than all the rest. So `known` is looked up by index, and of `file` only what is gone.

-- Known instances that are in no file any more, as far as anybody has seen, and since when: theirs
-- is gone, or was overwritten by another one, and there was no copy.
CREATE OR REPLACE TEMP TABLE lost AS
SELECT k.SOPInstanceUID, max(l.since_utc) AS since_utc
FROM known AS k
JOIN (
    -- What went to an archive has a detail, and is the file of no instance: there may be millions.
    SELECT root, path, NULL AS SOPInstanceUID, state_utc AS since_utc
    FROM file WHERE state = 'gone' AND detail IS NULL
    UNION ALL
    SELECT root, path, SOPInstanceUID, at_utc FROM problem WHERE kind = 'source_lost'
) AS l ON l.root = k.root AND l.path = k.path
    AND coalesce(l.SOPInstanceUID, k.SOPInstanceUID) = k.SOPInstanceUID
GROUP BY k.SOPInstanceUID;

-- What each parsed file is to the catalog. An instance is the first file that brought its UID.
CREATE OR REPLACE TEMP TABLE decided AS
WITH parsed AS (
    SELECT
        f.seq, f.root, f.path, f.digest, f.SOPInstanceUID, i.SeriesInstanceUID,
        known.instance_id, known.revision,
        known.root AS old_root, known.path AS old_path, known.digest AS old_digest,
        max(f.digest) FILTER (known.root = f.root AND known.path = f.path)
            OVER (PARTITION BY f.SOPInstanceUID) AS own_digest,
        lost.SOPInstanceUID IS NOT NULL AND own_digest IS NULL AS is_next,
        anew.seq IS NOT NULL AS is_anew,
        row_number() OVER same_uid AS nth,
        first_value(f.digest) OVER same_uid AS first_digest
    FROM incoming_file AS f
    JOIN incoming_instance AS i USING (seq)
    LEFT JOIN known ON known.SOPInstanceUID = f.SOPInstanceUID
    LEFT JOIN lost ON lost.SOPInstanceUID = f.SOPInstanceUID
    -- Somebody asked that all its rows be written anew (retries.py), though its bytes are known.
    LEFT JOIN (
        SELECT k.seq FROM (FROM incoming_file WHERE known) AS k
        JOIN file AS old ON old.root = k.root AND old.path = k.path
        WHERE old.detail = 'is to be read anew'
    ) AS anew ON anew.seq = f.seq
    WHERE f.reason IS NULL
    WINDOW same_uid AS (PARTITION BY f.SOPInstanceUID ORDER BY f.seq)
)
SELECT
    seq, root, path, digest, SOPInstanceUID, SeriesInstanceUID, instance_id, revision,
    CASE
        WHEN instance_id IS NULL AND nth = 1 THEN 'new'
        WHEN instance_id IS NULL AND digest = first_digest THEN 'duplicate'
        WHEN instance_id IS NULL THEN 'conflict'
        WHEN old_root = root AND old_path = path AND old_digest = digest AND NOT is_anew THEN 'same'
        WHEN old_root = root AND old_path = path THEN 'replaced'
        -- The file it came from has it no more: it moved here, or these are the bytes that are left.
        WHEN is_next AND nth = 1 THEN if(old_digest = digest, 'moved', 'replaced')
        WHEN digest = if(is_next, first_digest, coalesce(own_digest, old_digest)) THEN 'duplicate'
        ELSE 'conflict'
    END AS outcome
FROM parsed;

-- Numbers in the order of arrival.
CREATE OR REPLACE TEMP TABLE fresh AS
SELECT
    seq, SeriesInstanceUID,
    coalesce(instance_id, nextval('instance_id_seq')) AS instance_id,
    coalesce(revision, 0) + 1 AS revision
FROM (SELECT * FROM decided WHERE outcome IN ('new', 'replaced') ORDER BY seq);
