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
COMMENT ON TABLE listed IS 'what media directories (DICOMDIR) list, whether it came or not';
COMMENT ON COLUMN listed.root IS 'file.root of the directory';
COMMENT ON COLUMN listed.path IS 'file.path of the directory';
COMMENT ON COLUMN listed.SeriesInstanceUID IS '(0020,000E) the series';
COMMENT ON COLUMN listed.SOPInstanceUID IS '(0004,1511) the instance';
COMMENT ON COLUMN listed.file IS '(0004,1500) its file on the medium, parts joined by a slash';

-- The numbers follow the order in which events were committed: there is one writer.
CREATE SEQUENCE event_id_seq;
ALTER TABLE event ADD COLUMN event_id BIGINT DEFAULT nextval('event_id_seq');
COMMENT ON COLUMN event.event_id IS 'goes up with each event';

CREATE TABLE hook_cursor (
    hook      VARCHAR PRIMARY KEY,
    event_id  BIGINT NOT NULL
);
COMMENT ON TABLE hook_cursor IS 'how far each hook of the config was told of events; older ones may be deleted';
COMMENT ON COLUMN hook_cursor.hook IS 'command or url';
COMMENT ON COLUMN hook_cursor.event_id IS 'it was told of every event up to this one that it asks for';

CREATE TABLE hook_told (
    hook      VARCHAR   NOT NULL,
    event_id  BIGINT    NOT NULL,
    state     VARCHAR   NOT NULL,
    attempts  INTEGER   NOT NULL,
    at_utc    TIMESTAMP NOT NULL,
    CHECK (state IN ('told', 'given_up'))
);
COMMENT ON TABLE hook_told IS 'events beyond the cursor of a hook that are done: they went ahead of one that is still tried';
COMMENT ON COLUMN hook_told.hook IS 'hook_cursor.hook';
COMMENT ON COLUMN hook_told.event_id IS 'event.event_id';
COMMENT ON COLUMN hook_told.state IS 'told, or given_up after [hooks] attempts';
COMMENT ON COLUMN hook_told.attempts IS 'how often it was tried';
COMMENT ON COLUMN hook_told.at_utc IS 'when';

ALTER TABLE series_state ADD COLUMN given_up_utc TIMESTAMP;
COMMENT ON COLUMN series_state.given_up_utc IS 'when it had been incomplete for longer than [series] give_up_s';
COMMENT ON COLUMN series_state.found IS 'how many there are; files that are gone do not count';
COMMENT ON COLUMN series_state.missing IS 'what is missing, by name, with the files of the neighbours';

ALTER TABLE instance ADD COLUMN ImageIndex INTEGER;
ALTER TABLE instance ADD COLUMN InConcatenationTotalNumber INTEGER;
COMMENT ON COLUMN instance.ImageIndex IS '(0054,1330) Image Index: the place of a PET image in its series, from 1';
COMMENT ON COLUMN instance.InConcatenationTotalNumber IS '(0020,9163) In-concatenation Total Number: parts that a multi-frame object was divided into';
