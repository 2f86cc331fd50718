-- One batch of files becomes rows; runs inside one transaction.
--
-- Comes in as views: incoming_file, incoming_instance, incoming_tag, incoming_problem (the
-- schemas of ingestd/tables.py), verdict (reason, verdict) and setting (one row: at_utc,
-- attempts, first_s, limit_s). Leaves behind: the temporary table `decided`.

-- What each parsed file is to the catalog. An instance is the first file that brought its UID.
CREATE OR REPLACE TEMP TABLE decided AS
WITH parsed AS (
    SELECT
        f.seq, f.root, f.path, f.digest, f.SOPInstanceUID,
        i.instance_id, i.revision,
        i.root AS old_root, i.path AS old_path, i.digest AS old_digest,
        coalesce(old.state, '') AS old_state,
        row_number() OVER same_uid AS nth,
        first_value(f.digest) OVER same_uid AS first_digest
    FROM incoming_file AS f
    LEFT JOIN instance AS i USING (SOPInstanceUID)
    LEFT JOIN file AS old ON old.root = i.root AND old.path = i.path
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
        WHEN old_digest = digest AND old_state = 'gone' AND nth = 1 THEN 'moved'
        WHEN old_digest = digest THEN 'duplicate'
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
LEFT JOIN file AS old ON old.root = d.root AND old.path = d.path
WHERE d.outcome = 'conflict'
  AND (old.state IS DISTINCT FROM 'conflict' OR old.digest IS DISTINCT FROM i.digest);

-- The ledger. A reason that may pass is tried again, later and later, up to a limit.
INSERT INTO file BY NAME
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
    CASE
        WHEN v.verdict = 'retry' AND f.attempts < s.attempts
        THEN s.at_utc + to_microseconds(
            (1e6 * least(s.limit_s, s.first_s * pow(2, f.attempts - 1)))::BIGINT)
    END AS not_before_utc,
    f.digest, f.SOPInstanceUID,
    s.at_utc AS first_seen_utc,
    s.at_utc AS state_utc
FROM incoming_file AS f
CROSS JOIN setting AS s
LEFT JOIN decided AS d USING (seq)
LEFT JOIN verdict AS v ON v.reason = f.reason
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
