-- Instances whose file has no row in the ledger. $part of $parts bounds what is compared at once.
SELECT i.root, i.path, i.SOPInstanceUID AS uid, NULL AS detail
FROM instance AS i
WHERE hash(i.path) % $parts = $part
  AND NOT EXISTS (
    SELECT 1 FROM file AS f
    WHERE hash(f.path) % $parts = $part AND f.root = i.root AND f.path = i.path)
