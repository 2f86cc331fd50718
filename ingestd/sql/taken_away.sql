-- Files were unlinked from their drop folder, or were found missing after a crash had come between
-- that and this; a row that was written anew meanwhile speaks of another file, and stays.
--
-- Comes in as views: taken (path, size_bytes, mtime_ns) and setting (one row: root, word, done,
-- at_utc).
UPDATE file SET state = 'gone', reason = NULL, detail = s.done, not_before_utc = NULL,
    state_utc = s.at_utc
FROM taken AS t
CROSS JOIN setting AS s
WHERE file.root = s.root AND file.path = t.path AND file.detail = s.word
  AND file.size_bytes = t.size_bytes AND file.mtime_ns = t.mtime_ns;
