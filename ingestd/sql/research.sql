-- What SQL sees under [sql] profile = "research", in a database of its own in memory.
--
-- {database} is the name of the catalog's database, {withheld} the list of the tags that the Basic
-- Profile takes away. The key comes as parameters afterwards; it is never in the text of a view,
-- which everybody may read.
ATTACH ':memory:' AS research (READ_WRITE);
CREATE SCHEMA research.keep;
CREATE TABLE research.keep.secret (inner_pad BLOB, outer_pad BLOB);

-- HMAC-SHA256 (RFC 2104) of a text, in the first 128 bits. Each kind of name has its own hashes,
-- so that a PatientID is not found again as an AccessionNumber.
CREATE MACRO research.keep.hashed(kind, name, inner_pad, outer_pad) AS
    sha256(outer_pad || unhex(sha256(inner_pad || encode(kind || ':' || name))))[:32];

-- 32 hexadecimal digits as a number; DuckDB 1.5 reads 16 of them only.
CREATE MACRO research.keep.number(digits) AS
    ('0x' || digits[:16])::UBIGINT::UHUGEINT * 18446744073709551616
        + ('0x' || digits[17:])::UBIGINT;

-- A UID for a UID, below 2.25 (PS3.5 B.2); those of the standard itself are nobody's.
CREATE MACRO research.keep.uid(name, inner_pad, outer_pad) AS
    CASE WHEN starts_with(name, '1.2.840.10008.') THEN name
    ELSE '2.25.'
        || research.keep.number(research.keep.hashed('UID', name, inner_pad, outer_pad)) END;

CREATE MACRO research.keep.uids(names, inner_pad, outer_pad) AS
    array_to_string(list_transform(string_split(names, '\'),
        lambda one: CASE WHEN one = '' THEN '' ELSE research.keep.uid(one, inner_pad, outer_pad) END),
        '\');

-- The elements that the Basic Profile leaves: of the standard, with a value that is no free text,
-- no name and no time, and in no sequence that the profile takes away. Groups 50xx are curves,
-- (60xx,3000) and (60xx,4000) overlays, odd groups private. That is decided here, once for all
-- values: what a subquery gives would go with each of them through the join.
CREATE VIEW research.keep.attribute AS
FROM {database}.main.attribute
WHERE keyword IS NOT NULL
    AND private_creator IS NULL
    AND vr IN ('AT', 'CS', 'DS', 'FD', 'FL', 'IS', 'LO', 'OB', 'OD', 'OF', 'OL', 'OV',
        'OW', 'SH', 'SL', 'SQ', 'SS', 'SV', 'UC', 'UI', 'UL', 'US', 'UV')
    AND NOT regexp_matches(tag, '^(50|60..(3|4)000)')
    AND NOT regexp_matches(path, '(^|\.)[0-9A-F]{3}[13579BDF]')
    AND NOT list_has_any(regexp_extract_all(path, '[0-9A-F]{8}'), {withheld});

CREATE VIEW research.main.tag AS
SELECT
    e.instance_id, a.path, a.tag, a.keyword, a.vr, e.vm,
    CASE
        WHEN a.vr = 'UI' THEN research.keep.uids(e.value, s.inner_pad, s.outer_pad)
        WHEN a.keyword IN ('PatientID', 'AccessionNumber')
        THEN research.keep.hashed(a.keyword, e.value, s.inner_pad, s.outer_pad)
        ELSE e.value
    END AS value,
    CASE WHEN a.keyword NOT IN ('PatientID', 'AccessionNumber') THEN e.number END AS number,
    CASE WHEN a.keyword NOT IN ('PatientID', 'AccessionNumber') THEN e.size_bytes END AS size_bytes
FROM {database}.main.element AS e
JOIN research.keep.attribute AS a USING (attribute_id)
CROSS JOIN research.keep.secret AS s;
