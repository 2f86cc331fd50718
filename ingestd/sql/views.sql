-- The views; made anew at each start, so that a newer program brings its own.

CREATE OR REPLACE VIEW tag AS
SELECT
    e.instance_id, a.path, a.tag, a.keyword, a.private_creator, a.vr,
    e.vm, e.value, e.number, e.size_bytes
FROM element AS e
JOIN attribute AS a USING (attribute_id);

-- One row for each series: who, what, how many, how far.
CREATE OR REPLACE VIEW series AS
SELECT
    SeriesInstanceUID,
    any_value(StudyInstanceUID) AS StudyInstanceUID,
    any_value(PatientID) AS PatientID,
    any_value(Modality) AS Modality,
    any_value(SeriesNumber) AS SeriesNumber,
    any_value(SeriesDescription) AS SeriesDescription,
    min(coalesce(SeriesDate, StudyDate)) AS SeriesDate,
    any_value(BodyPartExamined) AS BodyPartExamined,
    any_value(Manufacturer) AS Manufacturer,
    any_value(ManufacturerModelName) AS ManufacturerModelName,
    count(*) AS instances,
    sum(coalesce(frames, 0))::BIGINT AS frames,
    sum(size_bytes)::BIGINT AS size_bytes,
    any_value(s.state) AS state,
    any_value(s.evidence) AS evidence,
    any_value(s.expected) AS expected,
    any_value(s.missing) AS missing,
    any_value(s.first_arrival_utc) AS first_arrival_utc,
    any_value(s.last_arrival_utc) AS last_arrival_utc,
    any_value(s.revision) AS revision
FROM instance
LEFT JOIN series_state AS s USING (SeriesInstanceUID)
GROUP BY SeriesInstanceUID;

-- One row for each study.
CREATE OR REPLACE VIEW study AS
SELECT
    StudyInstanceUID,
    any_value(PatientID) AS PatientID,
    any_value(PatientName) AS PatientName,
    any_value(StudyID) AS StudyID,
    any_value(AccessionNumber) AS AccessionNumber,
    min(StudyDate) AS StudyDate,
    min(StudyTime) AS StudyTime,
    any_value(StudyDescription) AS StudyDescription,
    any_value(InstitutionName) AS InstitutionName,
    list_sort(list(DISTINCT Modality)) AS modalities,
    count(DISTINCT SeriesInstanceUID) AS series,
    count(*) AS instances,
    sum(size_bytes)::BIGINT AS size_bytes
FROM instance
GROUP BY StudyInstanceUID;

-- One row for each patient, as far as PatientID tells them apart.
CREATE OR REPLACE VIEW patient AS
SELECT
    PatientID,
    any_value(IssuerOfPatientID) AS IssuerOfPatientID,
    any_value(PatientName) AS PatientName,
    any_value(PatientBirthDate) AS PatientBirthDate,
    any_value(PatientSex) AS PatientSex,
    count(DISTINCT StudyInstanceUID) AS studies,
    count(DISTINCT SeriesInstanceUID) AS series,
    count(*) AS instances,
    min(StudyDate) AS first_study,
    max(StudyDate) AS last_study
FROM instance
GROUP BY PatientID;

-- Series that lack something: why, since when (nothing has come since last_arrival_utc), what, and
-- from where they come: each root that has or had a file of them, or a DICOMDIR that lists them.
CREATE OR REPLACE VIEW incomplete_series AS
SELECT
    s.SeriesInstanceUID,
    any_value(i.StudyInstanceUID) AS StudyInstanceUID,
    any_value(i.PatientID) AS PatientID,
    any_value(i.Modality) AS Modality,
    any_value(i.SeriesDescription) AS SeriesDescription,
    any_value(s.evidence) AS evidence,
    any_value(s.expected) AS expected,
    any_value(s.found) AS found,
    any_value(s.missing) AS missing,
    any_value(s.first_arrival_utc) AS first_arrival_utc,
    any_value(s.last_arrival_utc) AS last_arrival_utc,
    any_value(s.given_up_utc) AS given_up_utc,
    list_sort(list(DISTINCT coalesce(f.root, i.root, l.root))) AS roots
FROM series_state AS s
LEFT JOIN instance AS i USING (SeriesInstanceUID)
LEFT JOIN file AS f ON f.SOPInstanceUID = i.SOPInstanceUID AND f.digest = i.digest
LEFT JOIN (SELECT DISTINCT SeriesInstanceUID, root FROM listed) AS l
    ON l.SeriesInstanceUID = s.SeriesInstanceUID
WHERE s.state = 'incomplete'
GROUP BY s.SeriesInstanceUID;

-- Series that were judged and then got more: what came, what they were, and what they are now.
CREATE OR REPLACE VIEW late_arrival AS
SELECT e.at_utc, e.SeriesInstanceUID, e.detail, s.state, s.evidence, s.revision
FROM event AS e
LEFT JOIN series_state AS s USING (SeriesInstanceUID)
WHERE e.kind = 'series_reopened';

-- Every copy of every instance: where its bytes are, or were.
CREATE OR REPLACE VIEW location AS
SELECT
    i.SOPInstanceUID,
    f.root,
    f.path,
    f.state,
    f.size_bytes,
    f.digest,
    (f.root = i.root AND f.path = i.path) AS is_source
FROM file AS f
JOIN instance AS i ON i.SOPInstanceUID = f.SOPInstanceUID AND i.digest = f.digest;

-- Files that did not become an instance, and why.
CREATE OR REPLACE VIEW refused AS
SELECT root, path, reason, detail, attempts, size_bytes, state_utc
FROM file
WHERE state = 'refused';

-- Files that carry the UID of another instance but other bytes.
CREATE OR REPLACE VIEW conflict AS
SELECT
    f.SOPInstanceUID,
    f.root,
    f.path,
    f.digest,
    i.root AS instance_root,
    i.path AS instance_path,
    i.digest AS instance_digest,
    f.state_utc
FROM file AS f
LEFT JOIN instance AS i USING (SOPInstanceUID)
WHERE f.state = 'conflict';

-- Files that were there and are not any more: what they held lives on in a copy, in the archive, or
-- in rows and pictures alone.
CREATE OR REPLACE VIEW gone AS
SELECT
    f.root,
    f.path,
    f.SOPInstanceUID,
    f.detail,
    f.size_bytes,
    f.first_seen_utc,
    f.state_utc AS gone_utc,
    i.instance_id IS NOT NULL AND (i.root <> f.root OR i.path <> f.path) AS has_copy
FROM file AS f
LEFT JOIN instance AS i ON i.SOPInstanceUID = f.SOPInstanceUID
WHERE f.state = 'gone';
