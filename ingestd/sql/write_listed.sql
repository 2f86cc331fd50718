-- What media directories of a batch list becomes evidence; the last step (decide.sql), when there
-- are any. Comes in as a view: incoming_listed. Leaves behind `relisted`: the series of which more or less is
-- listed than before. One of which nothing has come is a series too: it lacks everything.
CREATE OR REPLACE TEMP TABLE read_anew AS
SELECT p.root, p.path
FROM prior AS p
JOIN incoming_file AS f USING (seq)
LEFT JOIN verdict AS v ON v.reason = f.reason
WHERE p.reason = 'dicomdir' AND v.verdict IS DISTINCT FROM 'retry';

CREATE OR REPLACE TEMP TABLE concerned AS
SELECT SeriesInstanceUID FROM incoming_listed
UNION
SELECT l.SeriesInstanceUID FROM listed AS l JOIN read_anew USING (root, path);

CREATE OR REPLACE TEMP TABLE listed_before AS
SELECT DISTINCT SeriesInstanceUID, SOPInstanceUID
FROM listed WHERE SeriesInstanceUID IN (FROM concerned);

DELETE FROM listed USING read_anew AS r WHERE listed.root = r.root AND listed.path = r.path;

INSERT INTO listed BY NAME FROM incoming_listed;

CREATE OR REPLACE TEMP TABLE listed_now AS
SELECT DISTINCT SeriesInstanceUID, SOPInstanceUID
FROM listed WHERE SeriesInstanceUID IN (FROM concerned);

CREATE OR REPLACE TEMP TABLE relisted AS
SELECT DISTINCT SeriesInstanceUID FROM (
    (FROM listed_before EXCEPT FROM listed_now) UNION (FROM listed_now EXCEPT FROM listed_before)
);

INSERT INTO event BY NAME
SELECT s.at_utc,
    CASE WHEN o.state IS NULL THEN 'series_receiving' ELSE 'series_reopened' END AS kind,
    r.SeriesInstanceUID,
    CASE WHEN o.state IS NULL THEN 'a media directory lists it'
        ELSE format('a media directory lists other instances of it than before; it was {}', o.state)
    END AS detail
FROM relisted AS r
LEFT JOIN series_state AS o USING (SeriesInstanceUID)
CROSS JOIN setting AS s
WHERE o.state IS NULL OR o.state IN ('complete', 'incomplete', 'unknown');

INSERT INTO series_state BY NAME
SELECT
    r.SeriesInstanceUID, 'receiving' AS state,
    s.at_utc AS first_arrival_utc, s.at_utc AS last_arrival_utc, 1 AS revision
FROM relisted AS r
CROSS JOIN setting AS s
ON CONFLICT (SeriesInstanceUID) DO UPDATE SET
    state = 'receiving',
    evidence = NULL, expected = NULL, found = NULL, missing = NULL,
    revision = series_state.revision
        + CASE WHEN series_state.state IN ('receiving', 'quiet') THEN 0 ELSE 1 END;
