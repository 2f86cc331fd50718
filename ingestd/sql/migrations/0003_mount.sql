-- 0003 mount: which file systems a drop folder lies on, so that after a restart a share that is not
-- mounted is not taken for a folder whose files were all deleted.
CREATE TABLE mount (
    root      VARCHAR   NOT NULL,
    place     VARCHAR   NOT NULL,
    kind      VARCHAR   NOT NULL,
    seen_utc  TIMESTAMP NOT NULL
);
