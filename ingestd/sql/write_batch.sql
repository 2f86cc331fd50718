-- One batch of files becomes rows; runs inside one transaction.
--
-- Comes in as views: incoming_file, incoming_instance, incoming_tag, incoming_problem (the
-- schemas of ingestd/tables.py), verdict (reason, verdict) and setting (one row: at_utc,
-- attempts, first_s, limit_s); and as a temporary table `known`: the rows of `instance` that the
-- batch is about. Leaves behind the temporary tables `decided`, `fresh` and `outcome`.
--
-- Nothing here may read all of `instance` or `file`: a join with them costs more, with millions
-- of rows, than all the rest. So `known` is looked up by index, and of `file` only what is gone.

-- What the ledger says of these paths so far.
CREATE OR REPLACE TEMP TABLE prior AS
SELECT f.seq, old.root, old.path, old.state, old.digest, old.SOPInstanceUID
FROM (FROM incoming_file WHERE known) AS f
JOIN file AS old ON old.root = f.root AND old.path = f.path;

-- What each parsed file is to the catalog. An instance is the first file that brought its UID.
CREATE OR REPLACE TEMP TABLE decided AS
WITH parsed AS (
    SELECT
        f.seq, f.root, f.path, f.digest, f.SOPInstanceUID,
        known.instance_id, known.revision,
        known.root AS old_root, known.path AS old_path, known.digest AS old_digest,
        gone.path IS NOT NULL AS old_is_gone,
        row_number() OVER same_uid AS nth,
        first_value(f.digest) OVER same_uid AS first_digest
    FROM incoming_file AS f
    LEFT JOIN known USING (SOPInstanceUID)
    -- What went to an archive has a detail, and is the file of no instance: there may be millions.
    LEFT JOIN (SELECT root, path FROM file WHERE state = 'gone' AND detail IS NULL) AS gone
        ON gone.root = known.root AND gone.path = known.path
    WHERE f.reason IS NULL
    WINDOW same_uid AS (PARTITION BY f.SOPInstanceUID ORDER BY f.seq)
)
SELECT
    seq, root, path, SOPInstanceUID, instance_id, revision,
    CASE
        WHEN instance_id IS NULL AND nth = 1 THEN 'new'
        WHEN instance_id IS NULL AND digest = first_digest THEN 'duplicate'
        WHEN instance_id IS NULL THEN 'conflict'
        WHEN old_root = root AND old_path = path AND old_digest = digest THEN 'same'
        WHEN old_root = root AND old_path = path THEN 'replaced'
        -- The file it came from is gone and here are its bytes: it moved.
        WHEN old_digest = digest AND old_is_gone AND nth = 1 THEN 'moved'
        WHEN old_digest = digest THEN 'duplicate'
        -- Its own file is gone, and these are the only bytes that are left under its UID.
        WHEN old_is_gone AND nth = 1 THEN 'replaced'
        ELSE 'conflict'
    END AS outcome
FROM parsed;

-- Numbers in the order of arrival.
CREATE OR REPLACE TEMP TABLE fresh AS
SELECT
    seq,
    coalesce(instance_id, nextval('instance_id_seq')) AS instance_id,
    coalesce(revision, 0) + 1 AS revision
FROM (SELECT * FROM decided WHERE outcome IN ('new', 'replaced') ORDER BY seq);

-- A file that was rewritten in place takes the place of what it said before.
DELETE FROM tag
WHERE instance_id IN (SELECT instance_id FROM decided WHERE outcome = 'replaced');

DELETE FROM instance
WHERE instance_id IN (SELECT instance_id FROM decided WHERE outcome = 'replaced');

DELETE FROM problem USING incoming_file AS f
WHERE problem.root = f.root AND problem.path = f.path;

INSERT INTO instance BY NAME
SELECT fresh.instance_id, fresh.revision, s.at_utc AS ingested_utc, i.* EXCLUDE (seq)
FROM incoming_instance AS i
JOIN fresh USING (seq)
CROSS JOIN setting AS s;

UPDATE instance
SET root = d.root, path = d.path
FROM decided AS d
WHERE d.outcome = 'moved' AND instance.instance_id = d.instance_id;

-- Sorted by tag, a batch takes half the room and is read three times as fast.
INSERT INTO tag BY NAME
SELECT fresh.instance_id, t.* EXCLUDE (seq)
FROM incoming_tag AS t
JOIN fresh USING (seq)
ORDER BY t.tag, t.path, fresh.instance_id;

INSERT INTO problem BY NAME
SELECT p.* EXCLUDE (seq), s.at_utc
FROM incoming_problem AS p
CROSS JOIN setting AS s
LEFT JOIN decided AS d USING (seq)
WHERE d.outcome IS NULL OR d.outcome NOT IN ('duplicate', 'conflict');

-- A conflict is loud, once.
INSERT INTO event BY NAME
SELECT s.at_utc, 'file_conflict' AS kind, d.root, i.SeriesInstanceUID, d.path AS detail
FROM decided AS d
JOIN incoming_instance AS i USING (seq)
CROSS JOIN setting AS s
LEFT JOIN prior AS old USING (seq)
WHERE d.outcome = 'conflict'
  AND (old.state IS DISTINCT FROM 'conflict' OR old.digest IS DISTINCT FROM i.digest);

-- The ledger. A reason that may pass is tried again, later and later, up to a limit.
CREATE OR REPLACE TEMP TABLE outcome AS
SELECT
    f.root, f.path, f.size_bytes, f.mtime_ns,
    CASE
        WHEN d.outcome IN ('new', 'same', 'replaced', 'moved') THEN 'cataloged'
        WHEN d.outcome IS NOT NULL THEN d.outcome
        WHEN v.verdict = 'retry' AND f.attempts < s.attempts THEN 'retry'
        ELSE 'refused'
    END AS state,
    f.reason,
    CASE
        WHEN d.outcome = 'conflict'
        THEN 'another file with other bytes brought this SOPInstanceUID first'
        ELSE f.detail
    END AS detail,
    f.attempts,
    -- Also of one that is refused by now: what was at fault may be mended some day.
    CASE
        WHEN v.verdict = 'retry'
        THEN s.at_utc + to_microseconds(
            (1e6 * least(s.limit_s, s.first_s * pow(2, least(f.attempts, 60) - 1)))::BIGINT)
    END AS not_before_utc,
    f.digest, f.SOPInstanceUID,
    s.at_utc AS first_seen_utc,
    s.at_utc AS state_utc
FROM incoming_file AS f
CROSS JOIN setting AS s
LEFT JOIN decided AS d USING (seq)
LEFT JOIN verdict AS v ON v.reason = f.reason;

INSERT INTO file BY NAME
FROM outcome
ON CONFLICT (root, path) DO UPDATE SET
    size_bytes = excluded.size_bytes,
    mtime_ns = excluded.mtime_ns,
    state = excluded.state,
    reason = excluded.reason,
    detail = excluded.detail,
    attempts = excluded.attempts,
    not_before_utc = excluded.not_before_utc,
    digest = excluded.digest,
    SOPInstanceUID = excluded.SOPInstanceUID,
    state_utc = excluded.state_utc;

-- A copy of what was rewritten in place is no copy any more.
UPDATE file SET state = 'conflict',
    detail = 'another file with other bytes brought this SOPInstanceUID first'
FROM decided AS d
JOIN incoming_file AS f USING (seq)
WHERE d.outcome = 'replaced' AND file.SOPInstanceUID = d.SOPInstanceUID
  AND file.state = 'duplicate' AND file.digest <> f.digest;

-- A path that now holds something else, for good, has lost the instance it held before. That one
-- lives on in a copy, if there is one.
CREATE OR REPLACE TEMP TABLE displaced AS
SELECT i.instance_id, i.SOPInstanceUID, i.SeriesInstanceUID, i.digest, i.root, i.path
FROM prior AS p
JOIN incoming_file AS f USING (seq)
JOIN instance AS i ON i.SOPInstanceUID = p.SOPInstanceUID AND i.root = p.root AND i.path = p.path
LEFT JOIN verdict AS v ON v.reason = f.reason
WHERE f.SOPInstanceUID IS DISTINCT FROM i.SOPInstanceUID AND v.verdict IS DISTINCT FROM 'retry';

CREATE OR REPLACE TEMP TABLE refuge AS
SELECT d.instance_id, arg_min(f.root, f.first_seen_utc) AS root,
    arg_min(f.path, f.first_seen_utc) AS path
FROM displaced AS d
JOIN file AS f ON f.SOPInstanceUID = d.SOPInstanceUID AND f.digest = d.digest
WHERE f.state = 'duplicate'
GROUP BY d.instance_id;

UPDATE instance SET root = r.root, path = r.path
FROM refuge AS r
WHERE instance.instance_id = r.instance_id;

UPDATE file SET state = 'cataloged'
FROM refuge AS r
WHERE file.root = r.root AND file.path = r.path;

INSERT INTO problem BY NAME
SELECT d.SOPInstanceUID, d.root, d.path, 'source_lost' AS kind,
    'its file was overwritten by another one, and there is no copy' AS detail, s.at_utc
FROM displaced AS d
CROSS JOIN setting AS s
WHERE d.instance_id NOT IN (SELECT instance_id FROM refuge);

INSERT INTO event BY NAME
SELECT s.at_utc, 'source_lost' AS kind, d.root, d.SeriesInstanceUID, d.path AS detail
FROM displaced AS d
CROSS JOIN setting AS s
WHERE d.instance_id NOT IN (SELECT instance_id FROM refuge);

-- New slices re-open a series that was judged, and say so.
INSERT INTO event BY NAME
SELECT s.at_utc, 'series_reopened' AS kind, t.SeriesInstanceUID,
    format('{} new after it was {}', t.arrived, o.state) AS detail
FROM (
    SELECT i.SeriesInstanceUID, count(*) AS arrived
    FROM incoming_instance AS i JOIN fresh USING (seq)
    GROUP BY ALL
) AS t
JOIN series_state AS o USING (SeriesInstanceUID)
CROSS JOIN setting AS s
WHERE o.state IN ('complete', 'incomplete', 'unknown');

INSERT INTO series_state BY NAME
SELECT
    i.SeriesInstanceUID, 'receiving' AS state,
    any_value(s.at_utc) AS first_arrival_utc,
    any_value(s.at_utc) AS last_arrival_utc,
    1 AS revision
FROM incoming_instance AS i
JOIN fresh USING (seq)
CROSS JOIN setting AS s
GROUP BY i.SeriesInstanceUID
ON CONFLICT (SeriesInstanceUID) DO UPDATE SET
    state = 'receiving',
    evidence = NULL, expected = NULL, found = NULL, missing = NULL,
    last_arrival_utc = excluded.last_arrival_utc,
    revision = series_state.revision
        + CASE WHEN series_state.state IN ('receiving', 'quiet') THEN 0 ELSE 1 END;
