-- What a batch takes the place of goes first; runs when it meets something known (decide.sql).
--
-- Leaves behind the temporary table `prior`, for displaced.sql.

-- What the ledger says of these paths so far.
CREATE OR REPLACE TEMP TABLE prior AS
SELECT f.seq, old.root, old.path, old.state, old.reason, old.digest, old.SOPInstanceUID,
    old.state_utc
FROM (FROM incoming_file WHERE known) AS f
JOIN file AS old ON old.root = f.root AND old.path = f.path;

-- A file that was rewritten in place takes the place of what it said before.
DELETE FROM element
WHERE instance_id IN (SELECT instance_id FROM decided WHERE outcome = 'replaced');

DELETE FROM instance
WHERE instance_id IN (SELECT instance_id FROM decided WHERE outcome = 'replaced');

-- That an instance was lost there is said until it is back, wherever that is.
DELETE FROM problem USING incoming_file AS f
WHERE problem.root = f.root AND problem.path = f.path AND problem.kind <> 'source_lost';

DELETE FROM problem USING decided AS d
WHERE problem.SOPInstanceUID = d.SOPInstanceUID AND problem.kind = 'source_lost'
  AND d.outcome IN ('same', 'moved', 'replaced');

UPDATE instance
SET root = d.root, path = d.path
FROM decided AS d
WHERE d.outcome = 'moved' AND instance.instance_id = d.instance_id;

-- What was read again may have got the thumbnail that it lacked.
UPDATE instance
SET thumbnail_path = i.thumbnail_path, window_source = i.window_source
FROM decided AS d
JOIN incoming_instance AS i USING (seq)
WHERE d.outcome = 'same' AND instance.instance_id = d.instance_id
  AND i.thumbnail_path IS NOT NULL
  AND instance.thumbnail_path IS DISTINCT FROM i.thumbnail_path;
