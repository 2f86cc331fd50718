-- What is said of series that have no instance: their state, volumes, slices.
SELECT NULL AS root, NULL AS path, said.uid AS uid, NULL AS detail
FROM (
    SELECT SeriesInstanceUID AS uid FROM series_state
    UNION SELECT SeriesInstanceUID FROM volume
    UNION SELECT SeriesInstanceUID FROM volume_slice
    EXCEPT SELECT DISTINCT SeriesInstanceUID FROM instance
) AS said
