-- 0002 take: files may leave their drop folder for an archive or a quarantine.
--
-- No new column: a place that files are taken to is a root like any other, whose path is its own
-- folder. Only what the columns say of themselves has grown.
-- Older program: 0.1 without `take` reads and writes this catalog as before.
COMMENT ON TABLE file IS 'the ledger: one row for each file ever seen in a drop folder, and for each that was taken to an archive or a quarantine';
COMMENT ON COLUMN file.root IS 'absolute path of the drop folder, archive or quarantine';
COMMENT ON COLUMN file.state IS 'cataloged, duplicate, conflict, refused, retry or gone; gone with a detail: it was moved, and is no loss';
COMMENT ON COLUMN file.detail IS 'the reason in words, or where the file was taken; no patient data';
COMMENT ON COLUMN instance.root IS 'file.root of the file that holds it: where it was read, or the archive';
COMMENT ON COLUMN instance.path IS 'file.path of the file that holds it';
