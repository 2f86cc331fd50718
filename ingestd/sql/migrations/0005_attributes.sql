-- 0005 attributes: what an element is stands once for all instances that have it, so a catalog
-- takes three quarters of the room and is written and searched faster. `tag` is a view now.
--
-- Older program: 0.1 without this step writes to the table `tag`, which is gone; it refuses.
CREATE SEQUENCE attribute_id_seq;
CREATE TABLE attribute (
    attribute_id     INTEGER PRIMARY KEY,
    path             VARCHAR NOT NULL,
    tag              VARCHAR NOT NULL,
    keyword          VARCHAR,
    private_creator  VARCHAR,
    vr               VARCHAR
);
COMMENT ON TABLE attribute IS 'every place where an element of some instance stands or stood, and what it is; `tag` joins it';
COMMENT ON COLUMN attribute.attribute_id IS 'our short number for it';
COMMENT ON COLUMN attribute.path IS 'where it stands: 0040A730[2].00080104 is in the third item of (0040,A730)';
COMMENT ON COLUMN attribute.tag IS 'group and element, eight hexadecimal digits';
COMMENT ON COLUMN attribute.keyword IS 'keyword of PS3.6; NULL when it has none';
COMMENT ON COLUMN attribute.private_creator IS 'private elements: who reserved the block (PS3.5 7.8.1)';
COMMENT ON COLUMN attribute.vr IS 'value representation (PS3.5 6.2)';

CREATE TABLE element (
    instance_id   BIGINT  NOT NULL,
    attribute_id  INTEGER NOT NULL,
    vm            INTEGER,
    value         VARCHAR,
    number        DOUBLE,
    size_bytes    BIGINT
);
COMMENT ON TABLE element IS 'the value of every element of every instance; ask `tag`, which says what each one is';
COMMENT ON COLUMN element.instance_id IS 'the instance it belongs to';
COMMENT ON COLUMN element.attribute_id IS 'what it is: attribute.attribute_id';
COMMENT ON COLUMN element.vm IS 'how many values; for a sequence, how many items';
COMMENT ON COLUMN element.value IS 'as text, values joined by a backslash; NULL for binary values and sequences';
COMMENT ON COLUMN element.number IS 'the same as a number, when it is a single one';
COMMENT ON COLUMN element.size_bytes IS 'length of the whole value in the file';

INSERT INTO attribute BY NAME
SELECT nextval('attribute_id_seq') AS attribute_id, t.*
FROM (SELECT DISTINCT path, tag, keyword, private_creator, vr FROM tag ORDER BY path) AS t;

INSERT INTO element BY NAME
SELECT t.instance_id, a.attribute_id, t.vm, t.value, t.number, t.size_bytes
FROM tag AS t
JOIN attribute AS a ON a.path = t.path AND a.tag = t.tag
    AND a.keyword IS NOT DISTINCT FROM t.keyword
    AND a.private_creator IS NOT DISTINCT FROM t.private_creator
    AND a.vr IS NOT DISTINCT FROM t.vr;

DROP TABLE tag;

-- The writer looks up by it what it meets.
CREATE INDEX attribute_path ON attribute (path);
