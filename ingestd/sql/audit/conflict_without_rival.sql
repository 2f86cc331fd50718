-- Files in conflict with no other file: nothing has their UID, or what has it has the same bytes.
SELECT f.root, f.path, f.SOPInstanceUID AS uid, NULL AS detail
FROM file AS f
LEFT JOIN instance AS i ON hash(i.SOPInstanceUID) % $parts = $part
    AND i.SOPInstanceUID = f.SOPInstanceUID
WHERE f.state = 'conflict' AND hash(f.SOPInstanceUID) % $parts = $part
  AND (i.SOPInstanceUID IS NULL OR i.digest = f.digest)
