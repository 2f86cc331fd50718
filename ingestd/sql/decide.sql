-- What each file of a batch is to the catalog: the first step of writing it.
--
-- Comes in as views: incoming_file, incoming_instance, incoming_tag, incoming_problem (the
-- schemas of ingestd/tables.py), verdict (reason, verdict) and setting (one row: at_utc,
-- attempts, first_s, limit_s); and as a temporary table `known`: the rows of `instance` that the
-- batch is about. All four steps run inside one transaction: this one, make_way.sql,
-- write_batch.sql and displaced.sql. A batch that meets nothing known needs two of them only.
--
-- Nothing here may read all of `instance` or `file`: a join with them costs more, with millions
-- of rows, than all the rest. So `known` is looked up by index, and `file` only read for instances
-- that come again from another path.

-- The file that an instance came from, as the ledger has it, when the instance comes from elsewhere.
CREATE OR REPLACE TEMP TABLE own AS
SELECT e.SOPInstanceUID, f.state_utc,
    -- An archive has it when there is a detail; and what cannot be read just now is not lost.
    CASE WHEN f.state = 'gone' THEN f.detail IS NULL
        ELSE f.SOPInstanceUID IS DISTINCT FROM e.SOPInstanceUID AND f.not_before_utc IS NULL
    END AS is_lost
FROM file AS f
JOIN (
    SELECT DISTINCT k.SOPInstanceUID, k.root, k.path
    FROM known AS k
    JOIN incoming_file AS f ON f.SOPInstanceUID = k.SOPInstanceUID
    WHERE f.root <> k.root OR f.path <> k.path
) AS e ON e.root = f.root AND e.path = f.path;

-- What each parsed file is to the catalog. An instance is the first file that brought its UID.
CREATE OR REPLACE TEMP TABLE decided AS
WITH parsed AS (
    SELECT
        f.seq, f.root, f.path, f.digest, f.SOPInstanceUID, i.SeriesInstanceUID,
        known.instance_id, known.revision,
        known.root AS old_root, known.path AS old_path, known.digest AS old_digest,
        coalesce(own.is_lost, false) AS old_is_lost,
        anew.seq IS NOT NULL AS is_anew,
        row_number() OVER same_uid AS nth,
        first_value(f.digest) OVER same_uid AS first_digest
    FROM incoming_file AS f
    JOIN incoming_instance AS i USING (seq)
    LEFT JOIN known ON known.SOPInstanceUID = f.SOPInstanceUID
    LEFT JOIN own ON own.SOPInstanceUID = f.SOPInstanceUID
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
        -- The file it came from is gone, or holds something else, and here are its bytes: it moved.
        WHEN old_digest = digest AND old_is_lost AND nth = 1 THEN 'moved'
        WHEN old_digest = digest THEN 'duplicate'
        -- Its own bytes are gone, and these are the only ones that are left under its UID.
        WHEN old_is_lost AND nth = 1 THEN 'replaced'
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
