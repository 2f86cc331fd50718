-- Volumes whose slices are none, or more than their shape has; and slices of no volume.
SELECT DISTINCT NULL AS root, NULL AS path, coalesce(v.SeriesInstanceUID, s.SeriesInstanceUID) AS uid,
    NULL AS detail
FROM volume AS v
FULL JOIN (
    SELECT SeriesInstanceUID, stack, max(slice) AS slice, max(timepoint) AS timepoint,
        count(*) AS slices, count(DISTINCT [slice, timepoint]) AS places
    FROM volume_slice GROUP BY ALL
) AS s ON s.SeriesInstanceUID = v.SeriesInstanceUID AND s.stack = v.stack
WHERE v.stack IS NULL
   OR (v.path IS NOT NULL AND (s.stack IS NULL OR s.slices <> s.places
       OR s.slice >= v.shape[-3] OR s.timepoint >= if(len(v.shape) = 4, v.shape[1], 1)))
