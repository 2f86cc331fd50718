-- What SQL sees under [sql] profile = "research", in a database of its own in memory.
--
-- {database} is the name of the catalog's database. The key comes as parameters afterwards; it is
-- never in the text of a view, which everybody may read.
ATTACH ':memory:' AS research (READ_WRITE);
CREATE SCHEMA research.keep;
CREATE TABLE research.keep.secret (inner_pad BLOB, outer_pad BLOB);
CREATE TABLE research.keep.profile (tag VARCHAR, keyword VARCHAR, action VARCHAR);

-- HMAC-SHA256 (RFC 2104) of a text, in the first 128 bits. Each kind of name has its own hashes,
-- so that a PatientID is not found again as an AccessionNumber.
CREATE MACRO research.keep.hashed(kind, name, inner_pad, outer_pad) AS
    sha256(outer_pad || unhex(sha256(inner_pad || encode(kind || ':' || name))))[:32];

-- A UID for a UID, below 2.25 (PS3.5 B.2); those of the standard itself are nobody's.
CREATE MACRO research.keep.uid(name, inner_pad, outer_pad) AS
    CASE WHEN starts_with(name, '1.2.840.10008.') THEN name
    ELSE '2.25.' || research.keep.hashed('UID', name, inner_pad, outer_pad)::UUID::UHUGEINT END;

CREATE MACRO research.keep.uids(names, inner_pad, outer_pad) AS
    array_to_string(list_transform(string_split(names, '\'),
        lambda one: CASE WHEN one = '' THEN '' ELSE research.keep.uid(one, inner_pad, outer_pad) END),
        '\');

-- The elements that the Basic Profile leaves: of the standard, with a value that is no free text,
-- no name and no time, and in no sequence that the profile takes away. Groups 50xx are curves,
-- (60xx,3000) and (60xx,4000) overlays, odd groups private.
CREATE VIEW research.main.tag AS
SELECT
    t.instance_id, t.path, t.tag, t.keyword, t.vr, t.vm,
    CASE
        WHEN t.vr = 'UI' THEN research.keep.uids(t.value, s.inner_pad, s.outer_pad)
        WHEN t.keyword IN ('PatientID', 'AccessionNumber')
        THEN research.keep.hashed(t.keyword, t.value, s.inner_pad, s.outer_pad)
        ELSE t.value
    END AS value,
    CASE WHEN t.keyword NOT IN ('PatientID', 'AccessionNumber') THEN t.number END AS number,
    CASE WHEN t.keyword NOT IN ('PatientID', 'AccessionNumber') THEN t.size_bytes END AS size_bytes
FROM {database}.main.tag AS t
CROSS JOIN research.keep.secret AS s
WHERE t.keyword IS NOT NULL
    AND t.private_creator IS NULL
    AND t.vr IN ('AT', 'CS', 'DS', 'FD', 'FL', 'IS', 'LO', 'OB', 'OD', 'OF', 'OL', 'OV',
        'OW', 'SH', 'SL', 'SQ', 'SS', 'SV', 'UC', 'UI', 'UL', 'US', 'UV')
    AND NOT regexp_matches(t.tag, '^(50|60..(3|4)000)')
    AND NOT regexp_matches(t.path, '(^|\.)[0-9A-F]{3}[13579BDF]')
    AND t.tag NOT IN (SELECT tag FROM research.keep.profile)
    AND CASE WHEN contains(t.path, '[')
        THEN NOT list_has_any(regexp_extract_all(t.path, '[0-9A-F]{8}'),
            (SELECT list(tag) FROM research.keep.profile))
        ELSE true END;
