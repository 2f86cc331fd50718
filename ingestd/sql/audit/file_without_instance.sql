-- Files that are cataloged, or a copy of what is, without an instance of their UID and bytes. Two
-- questions: with an OR between them DuckDB takes four times as long.
SELECT f.root, f.path, f.SOPInstanceUID AS uid, f.state AS detail
FROM file AS f
WHERE f.state = 'cataloged' AND hash(f.SOPInstanceUID) % $parts = $part
  AND NOT EXISTS (
    SELECT 1 FROM instance AS i
    WHERE hash(i.SOPInstanceUID) % $parts = $part AND i.SOPInstanceUID = f.SOPInstanceUID
      AND i.digest = f.digest AND i.root = f.root AND i.path = f.path)
UNION ALL
SELECT f.root, f.path, f.SOPInstanceUID, f.state
FROM file AS f
WHERE f.state = 'duplicate' AND hash(f.SOPInstanceUID) % $parts = $part
  AND NOT EXISTS (
    SELECT 1 FROM instance AS i
    WHERE hash(i.SOPInstanceUID) % $parts = $part AND i.SOPInstanceUID = f.SOPInstanceUID
      AND i.digest = f.digest)
UNION ALL
SELECT root, path, NULL, state FROM file
WHERE $part = 0 AND state IN ('cataloged', 'duplicate') AND SOPInstanceUID IS NULL
