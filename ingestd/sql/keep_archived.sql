-- Files stand in the archive, whole and synced: now the catalog says so. Runs inside one
-- transaction, before anything is unlinked.
--
-- Comes in as views: taken (nth, path, size_bytes, mtime_ns, digest, SOPInstanceUID, instance_id,
-- kept_path, kept_size_bytes, kept_mtime_ns) and setting (one row: root, store, word, at_utc).
-- Leaves behind the temporary table `holds`: of what was taken, what is still as it was.

-- The file may have been read anew meanwhile, and the instance may be another one by now.
CREATE OR REPLACE TEMP TABLE holds AS
SELECT t.*, s.*, i.root AS old_root, i.path AS old_path
FROM taken AS t
CROSS JOIN setting AS s
JOIN file AS f ON f.root = s.root AND f.path = t.path
    AND f.size_bytes = t.size_bytes AND f.mtime_ns = t.mtime_ns AND f.digest = t.digest
JOIN instance AS i ON i.instance_id = t.instance_id AND i.digest = t.digest
WHERE f.state IN ('cataloged', 'duplicate');

-- What was the file of its instance until now is a copy from now on, in this root or another.
UPDATE file SET state = 'duplicate'
FROM holds AS h
WHERE h.old_root <> h.root AND h.old_root <> h.store
  AND file.root = h.old_root AND file.path = h.old_path AND file.state = 'cataloged';

-- In `move` this word says: what is missing here from now on is not lost.
UPDATE file SET state = 'duplicate', detail = h.word, state_utc = h.at_utc
FROM holds AS h
WHERE file.root = h.root AND file.path = h.path AND file.state IN ('cataloged', 'duplicate');

INSERT INTO file BY NAME
SELECT store AS root, kept_path AS path,
    any_value(kept_size_bytes) AS size_bytes, any_value(kept_mtime_ns) AS mtime_ns,
    'cataloged' AS state, 0 AS attempts,
    any_value(digest) AS digest, any_value(SOPInstanceUID) AS SOPInstanceUID,
    any_value(at_utc) AS first_seen_utc, any_value(at_utc) AS state_utc
FROM holds
GROUP BY store, kept_path
ON CONFLICT (root, path) DO UPDATE SET
    size_bytes = excluded.size_bytes, mtime_ns = excluded.mtime_ns, state = excluded.state,
    digest = excluded.digest, SOPInstanceUID = excluded.SOPInstanceUID;

UPDATE instance SET root = h.store, path = h.kept_path
FROM holds AS h
WHERE instance.instance_id = h.instance_id;
