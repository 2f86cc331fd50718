-- The instances of some series ($1), and where their bytes are: the file itself first, then its
-- copies.
SELECT i.SeriesInstanceUID, i.StudyInstanceUID, i.SOPInstanceUID,
    f.root, f.path, f.size_bytes, f.mtime_ns
FROM instance AS i
JOIN file AS f ON f.SOPInstanceUID = i.SOPInstanceUID AND f.digest = i.digest
WHERE i.SeriesInstanceUID IN $1 AND f.state IN ('cataloged', 'duplicate')
ORDER BY i.SOPInstanceUID, f.state, f.first_seen_utc, f.root, f.path
