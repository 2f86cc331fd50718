-- What a stretch of a folder shows (`listed`) and the ledger does not say of root $1: new to it,
-- another size or time, or back although it was gone.
SELECT l.path, l.size_bytes, l.mtime_ns, f.state
FROM listed AS l
LEFT JOIN (SELECT path, size_bytes, mtime_ns, state FROM file WHERE root = $1) AS f
    ON f.path = l.path
WHERE f.path IS NULL OR f.state = 'gone'
   OR f.size_bytes <> l.size_bytes OR f.mtime_ns <> l.mtime_ns
