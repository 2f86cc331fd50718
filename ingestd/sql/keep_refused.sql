-- Files stand in the quarantine, whole and synced: now the catalog says so. Runs inside one
-- transaction, before anything is unlinked.
--
-- Comes in as views: taken (nth, path, size_bytes, mtime_ns, digest, kept_path, kept_size_bytes,
-- kept_mtime_ns) and setting (one row: root, store, word, at_utc). Leaves behind the temporary
-- table `holds`: of what was taken, what is still as it was.

CREATE OR REPLACE TEMP TABLE holds AS
SELECT t.* EXCLUDE (SOPInstanceUID), s.*, f.state, f.reason, f.detail, f.attempts, f.SOPInstanceUID, f.first_seen_utc
FROM taken AS t
CROSS JOIN setting AS s
JOIN file AS f ON f.root = s.root AND f.path = t.path
    AND f.size_bytes = t.size_bytes AND f.mtime_ns = t.mtime_ns
WHERE f.state IN ('refused', 'conflict');

-- There already: a crash came between this and the unlink, and its row has the words.
INSERT INTO file BY NAME
SELECT store AS root, kept_path AS path, kept_size_bytes AS size_bytes,
    kept_mtime_ns AS mtime_ns, state, reason, detail, attempts, digest, SOPInstanceUID,
    first_seen_utc, at_utc AS state_utc
FROM holds
ON CONFLICT (root, path) DO NOTHING;

UPDATE file SET detail = h.word, state_utc = h.at_utc
FROM holds AS h
WHERE file.root = h.root AND file.path = h.path AND file.state IN ('refused', 'conflict');
