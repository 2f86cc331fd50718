-- The rows of a batch, once it is decided what each file is (decide.sql).
--
-- Leaves behind the temporary table `outcome`: what the ledger says of each file.

INSERT INTO instance BY NAME
SELECT f.instance_id, f.revision, s.at_utc AS ingested_utc, i.* EXCLUDE (seq)
FROM incoming_instance AS i
JOIN fresh AS f USING (seq)
CROSS JOIN setting AS s;

-- What no instance had so far gets the next numbers; `met` are those of its paths that are known.
CREATE OR REPLACE TEMP TABLE unmet AS
SELECT nextval('attribute_id_seq')::INTEGER AS attribute_id, n.*
FROM (
    SELECT * EXCLUDE (attribute) FROM incoming_attribute
    EXCEPT
    SELECT * EXCLUDE (attribute_id) FROM met
    ORDER BY path) AS n;

INSERT INTO attribute BY NAME FROM unmet;

-- Sorted by attribute, a batch takes half the room and is read three times as fast.
INSERT INTO element BY NAME
SELECT f.instance_id, a.attribute_id, e.* EXCLUDE (seq, attribute)
FROM incoming_element AS e
JOIN fresh AS f USING (seq)
JOIN (
    SELECT i.attribute, m.attribute_id
    FROM incoming_attribute AS i
    JOIN (FROM met UNION ALL BY NAME FROM unmet) AS m ON m.path = i.path AND m.tag = i.tag
        AND m.keyword IS NOT DISTINCT FROM i.keyword
        AND m.private_creator IS NOT DISTINCT FROM i.private_creator
        AND m.vr IS NOT DISTINCT FROM i.vr) AS a USING (attribute)
ORDER BY a.attribute_id, f.instance_id;

INSERT INTO problem BY NAME
SELECT p.* EXCLUDE (seq), s.at_utc
FROM incoming_problem AS p
CROSS JOIN setting AS s
LEFT JOIN decided AS d USING (seq)
WHERE d.outcome IS NULL OR d.outcome NOT IN ('duplicate', 'conflict');

-- The ledger. A reason that may pass is tried again, later and later, up to a limit.
CREATE OR REPLACE TEMP TABLE outcome AS
SELECT
    f.root, f.path, f.size_bytes, f.mtime_ns,
    CASE
        WHEN d.outcome IN ('new', 'same', 'replaced', 'moved') THEN 'cataloged'
        WHEN d.outcome IS NOT NULL THEN d.outcome
        WHEN v.verdict = 'retry' AND f.attempts < s.attempts THEN 'retry'
        ELSE 'refused'
    END AS state,
    f.reason,
    CASE
        WHEN d.outcome = 'conflict'
        THEN 'another file with other bytes brought this SOPInstanceUID first'
        ELSE f.detail
    END AS detail,
    f.attempts,
    -- Also of one that is refused by now: what was at fault may be mended some day.
    CASE
        WHEN v.verdict = 'retry'
        THEN s.at_utc + to_microseconds(
            (1e6 * least(s.limit_s, s.first_s * pow(2, least(f.attempts, 60) - 1)))::BIGINT)
    END AS not_before_utc,
    f.digest, f.SOPInstanceUID,
    s.at_utc AS first_seen_utc,
    s.at_utc AS state_utc
FROM incoming_file AS f
CROSS JOIN setting AS s
LEFT JOIN decided AS d USING (seq)
LEFT JOIN verdict AS v ON v.reason = f.reason;

INSERT INTO file BY NAME
FROM outcome
ON CONFLICT (root, path) DO UPDATE SET
    size_bytes = excluded.size_bytes,
    mtime_ns = excluded.mtime_ns,
    state = excluded.state,
    reason = excluded.reason,
    detail = excluded.detail,
    attempts = excluded.attempts,
    not_before_utc = excluded.not_before_utc,
    digest = excluded.digest,
    SOPInstanceUID = excluded.SOPInstanceUID,
    state_utc = excluded.state_utc;

-- New slices re-open a series that was judged, and say so.
INSERT INTO event BY NAME
SELECT s.at_utc, 'series_reopened' AS kind, t.SeriesInstanceUID,
    format('{} new after it was {}', t.arrived, o.state) AS detail
FROM (SELECT SeriesInstanceUID, count(*) AS arrived FROM fresh GROUP BY ALL) AS t
JOIN series_state AS o USING (SeriesInstanceUID)
CROSS JOIN setting AS s
WHERE o.state IN ('complete', 'incomplete', 'unknown');

INSERT INTO series_state BY NAME
SELECT
    f.SeriesInstanceUID, 'receiving' AS state,
    s.at_utc AS first_arrival_utc,
    s.at_utc AS last_arrival_utc,
    1 AS revision
FROM (SELECT DISTINCT SeriesInstanceUID FROM fresh) AS f
CROSS JOIN setting AS s
ON CONFLICT (SeriesInstanceUID) DO UPDATE SET
    state = 'receiving',
    evidence = NULL, expected = NULL, found = NULL, missing = NULL,
    last_arrival_utc = excluded.last_arrival_utc,
    revision = series_state.revision
        + CASE WHEN series_state.state IN ('receiving', 'quiet') THEN 0 ELSE 1 END;

-- The first of a series is told of too.
INSERT INTO event BY NAME
SELECT s.at_utc, 'series_receiving' AS kind, o.SeriesInstanceUID,
    'its first instances have come' AS detail
FROM series_state AS o
CROSS JOIN setting AS s
WHERE o.SeriesInstanceUID IN (SELECT SeriesInstanceUID FROM fresh)
  AND o.revision = 1 AND o.first_arrival_utc = s.at_utc;
