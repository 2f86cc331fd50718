-- Instances whose file is there and says that it is another's. Where that is known, since the file
-- was overwritten and no copy was left, it was told then, and is no difference.
SELECT i.root, i.path, i.SOPInstanceUID AS uid, f.state AS detail
FROM instance AS i
JOIN file AS f ON hash(f.path) % $parts = $part AND f.root = i.root AND f.path = i.path
WHERE hash(i.path) % $parts = $part
  AND (f.state IN ('duplicate', 'conflict')
    OR (f.state = 'cataloged' AND f.SOPInstanceUID <> i.SOPInstanceUID))
  AND NOT EXISTS (
    SELECT 1 FROM problem AS p WHERE p.kind = 'source_lost' AND p.SOPInstanceUID = i.SOPInstanceUID)
