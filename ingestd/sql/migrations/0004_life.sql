-- 0004 life: what media directories list; events with a number, and who was told of them; when a
-- series was given up.
--
-- Older program: 0.1 knows neither `listed` nor `hook_cursor` and never reads them, but it writes
-- events by position, so it must not be used on this catalog again.
CREATE TABLE listed (
    root               VARCHAR NOT NULL,
    path               VARCHAR NOT NULL,
    SeriesInstanceUID  VARCHAR NOT NULL,
    SOPInstanceUID     VARCHAR NOT NULL,
    file               VARCHAR
);

-- The numbers follow the order in which events were committed: there is one writer.
CREATE SEQUENCE event_id_seq;
ALTER TABLE event ADD COLUMN event_id BIGINT DEFAULT nextval('event_id_seq');

CREATE TABLE hook_cursor (
    hook      VARCHAR PRIMARY KEY,
    event_id  BIGINT NOT NULL
);

CREATE TABLE hook_told (
    hook      VARCHAR   NOT NULL,
    event_id  BIGINT    NOT NULL,
    state     VARCHAR   NOT NULL,
    attempts  INTEGER   NOT NULL,
    at_utc    TIMESTAMP NOT NULL,
    CHECK (state IN ('told', 'given_up'))
);

ALTER TABLE series_state ADD COLUMN given_up_utc TIMESTAMP;

ALTER TABLE instance ADD COLUMN ImageIndex INTEGER;
ALTER TABLE instance ADD COLUMN InConcatenationTotalNumber INTEGER;
