-- What a batch means for files and instances that were known before; the last step (decide.sql).

-- A conflict is loud, once.
INSERT INTO event BY NAME
SELECT s.at_utc, 'file_conflict' AS kind, d.root, d.SeriesInstanceUID, 'path ' || left(sha256(d.path), 12) AS detail
FROM decided AS d
CROSS JOIN setting AS s
LEFT JOIN prior AS old USING (seq)
WHERE d.outcome = 'conflict'
  AND (old.state IS DISTINCT FROM 'conflict' OR old.digest IS DISTINCT FROM d.digest);

-- A copy of what was rewritten in place is no copy any more.
UPDATE file SET state = 'conflict',
    detail = 'another file with other bytes brought this SOPInstanceUID first'
FROM decided AS d
WHERE d.outcome = 'replaced' AND file.SOPInstanceUID = d.SOPInstanceUID
  AND file.state = 'duplicate' AND file.digest <> d.digest;

-- A path that now holds something else, for good, has lost the instance it held before. That one
-- lives on in a copy, if there is one. By path: the ledger forgot the UID if the file could not be
-- read for a while. Those that were lost there before were told of.
CREATE OR REPLACE TEMP TABLE displaced AS
SELECT i.instance_id, i.SOPInstanceUID, i.SeriesInstanceUID, i.digest, i.root, i.path
FROM prior AS p
JOIN incoming_file AS f USING (seq)
JOIN instance AS i ON i.root = p.root AND i.path = p.path
LEFT JOIN verdict AS v ON v.reason = f.reason
ANTI JOIN (FROM problem WHERE kind = 'source_lost') AS told
    ON told.SOPInstanceUID = i.SOPInstanceUID AND told.root = i.root AND told.path = i.path
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

-- A conflict whose rival is lost is read again: now it is the instance.
UPDATE file SET state = 'retry', reason = 'still_changing', attempts = 0,
    detail = 'the file that brought this UID first holds something else', not_before_utc = s.at_utc
FROM displaced AS d
CROSS JOIN setting AS s
WHERE file.SOPInstanceUID = d.SOPInstanceUID AND file.state = 'conflict'
  AND d.instance_id NOT IN (SELECT instance_id FROM refuge);

INSERT INTO event BY NAME
SELECT s.at_utc, 'source_lost' AS kind, d.root, d.SeriesInstanceUID, 'path ' || left(sha256(d.path), 12) AS detail
FROM displaced AS d
CROSS JOIN setting AS s
WHERE d.instance_id NOT IN (SELECT instance_id FROM refuge);

-- A series whose files were gone is judged again when one is back: `found` NULL asks for it.
UPDATE series_state SET found = NULL
FROM (
    SELECT DISTINCT SeriesInstanceUID
    FROM decided AS d
    WHERE d.outcome IN ('same', 'moved', 'duplicate')
) AS back
WHERE series_state.SeriesInstanceUID = back.SeriesInstanceUID
  AND series_state.state = 'incomplete' AND starts_with(series_state.evidence, 'gone:');

-- And so is one that lost the bytes of an instance, for which there is no copy.
UPDATE series_state SET found = if(series_state.state IN ('receiving', 'quiet'), -1, NULL)
FROM (
    SELECT DISTINCT SeriesInstanceUID
    FROM displaced WHERE instance_id NOT IN (SELECT instance_id FROM refuge)
) AS lost
WHERE series_state.SeriesInstanceUID = lost.SeriesInstanceUID;

-- A series that was stacked while some of it was away is stacked again, now that it is back. Leaves
-- behind the temporary table `restored`.
CREATE OR REPLACE TEMP TABLE restored AS
SELECT d.SeriesInstanceUID, count(*) AS images
FROM decided AS d
JOIN series_state AS o USING (SeriesInstanceUID)
LEFT JOIN prior AS p USING (seq)
LEFT JOIN lost ON lost.SOPInstanceUID = d.SOPInstanceUID
WHERE CASE d.outcome
        WHEN 'moved' THEN true
        WHEN 'same' THEN p.state = 'gone' OR p.SOPInstanceUID IS DISTINCT FROM d.SOPInstanceUID
        ELSE false END
  AND (o.state = 'quiet' OR EXISTS (
    SELECT 1 FROM volume AS v
    WHERE v.SeriesInstanceUID = d.SeriesInstanceUID
      AND v.built_utc >= if(d.outcome = 'moved', lost.since_utc, p.state_utc))
    -- All of it was away when it was its turn.
    OR NOT EXISTS (SELECT 1 FROM volume AS v WHERE v.SeriesInstanceUID = d.SeriesInstanceUID))
GROUP BY d.SeriesInstanceUID;

INSERT INTO event BY NAME
SELECT s.at_utc, 'series_reopened' AS kind, r.SeriesInstanceUID,
    format('{} back after it was {}', r.images, o.state) AS detail
FROM restored AS r
JOIN series_state AS o USING (SeriesInstanceUID)
CROSS JOIN setting AS s
WHERE o.state IN ('complete', 'incomplete', 'unknown');

UPDATE series_state SET
    state = 'receiving',
    evidence = NULL, expected = NULL, found = NULL, missing = NULL,
    revision = series_state.revision
        + CASE WHEN series_state.state IN ('receiving', 'quiet') THEN 0 ELSE 1 END
FROM restored AS r
WHERE series_state.SeriesInstanceUID = r.SeriesInstanceUID;
