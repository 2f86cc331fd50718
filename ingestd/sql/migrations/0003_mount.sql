-- 0003 mount: which file systems a drop folder lies on, so that after a restart a share that is not
-- mounted is not taken for a folder whose files were all deleted.
CREATE TABLE mount (
    root      VARCHAR   NOT NULL,
    place     VARCHAR   NOT NULL,
    kind      VARCHAR   NOT NULL,
    seen_utc  TIMESTAMP NOT NULL
);
COMMENT ON TABLE mount IS 'the file systems that were mounted at, above or below each drop folder when it was last looked at';
COMMENT ON COLUMN mount.root IS 'absolute path of the drop folder';
COMMENT ON COLUMN mount.place IS 'where it was mounted';
COMMENT ON COLUMN mount.kind IS 'type of the file system, as the kernel names it';
COMMENT ON COLUMN mount.seen_utc IS 'when it was first seen there';
COMMENT ON COLUMN file.not_before_utc IS 'when it is read again, where the reason may pass';
