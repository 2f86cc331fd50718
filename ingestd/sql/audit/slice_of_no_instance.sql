-- Slices of a volume that name an instance which is none, or one of another series.
SELECT DISTINCT NULL AS root, NULL AS path, v.SeriesInstanceUID AS uid,
    v.SOPInstanceUID AS detail
FROM volume_slice AS v
LEFT JOIN instance AS i ON hash(i.SOPInstanceUID) % $parts = $part
    AND i.SOPInstanceUID = v.SOPInstanceUID
WHERE hash(v.SOPInstanceUID) % $parts = $part
  AND i.SeriesInstanceUID IS DISTINCT FROM v.SeriesInstanceUID
  AND v.SeriesInstanceUID IN (SELECT SeriesInstanceUID FROM series_state)
