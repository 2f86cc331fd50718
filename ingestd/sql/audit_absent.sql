-- What the ledger says of root $1 and a whole listing (`present`) did not show, but for folders
-- that could not be listed ($2): one part of all, by their hashes.
SELECT f.path
FROM file AS f
WHERE f.root = $1 AND f.state <> 'gone' AND hash(f.path) % $3 = $4
  AND NOT EXISTS (
    SELECT 1 FROM present AS p WHERE p.hash % $3 = $4 AND p.hash = hash(f.path))
  AND NOT EXISTS (
    SELECT 1 FROM unnest($2::VARCHAR[]) AS u (folder)
    WHERE u.folder = '' OR f.path = u.folder OR starts_with(f.path, u.folder || '/'))
