-- Series that nobody follows: they would never be judged.
SELECT NULL AS root, NULL AS path, SeriesInstanceUID AS uid, NULL AS detail
FROM (
    SELECT DISTINCT SeriesInstanceUID FROM instance
    EXCEPT SELECT SeriesInstanceUID FROM series_state
)
