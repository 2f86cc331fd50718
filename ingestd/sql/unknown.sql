-- The ledger's answer to a listing, as one join of sets: what it does not know as it is now.
--
-- Comes in as a view: seen (nth, root, path, size_bytes, mtime_ns); $1 is the time,
-- and $2 a time so late that no file is ever told to wait until then: the clock was set back.
SELECT s.nth,
    CASE WHEN f.not_before_utc IS NOT NULL AND f.size_bytes = s.size_bytes
              AND f.mtime_ns = s.mtime_ns THEN f.attempts ELSE 0 END,
    f.path IS NOT NULL
FROM seen AS s
LEFT JOIN file AS f ON f.root = s.root AND f.path = s.path
WHERE f.path IS NULL
   OR f.size_bytes <> s.size_bytes
   OR f.mtime_ns <> s.mtime_ns
   OR f.state = 'gone'
   OR f.not_before_utc <= $1
   OR f.not_before_utc > $2
ORDER BY s.nth;
