-- What is said of series that have no instance: their state, volumes, slices. Of one that a media
-- directory lists there need not be any.
SELECT NULL AS root, NULL AS path, said.uid AS uid, NULL AS detail
FROM (
    SELECT SeriesInstanceUID AS uid FROM series_state
    UNION SELECT SeriesInstanceUID FROM volume
    UNION SELECT SeriesInstanceUID FROM volume_slice
    EXCEPT SELECT DISTINCT SeriesInstanceUID FROM instance
    EXCEPT SELECT DISTINCT SeriesInstanceUID FROM listed
) AS said
