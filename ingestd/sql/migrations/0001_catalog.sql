-- 0001 catalog: the ledger, the instances with every tag, volumes, series, problems, events.
--
-- Names: CamelCase is copied from DICOM, letter for letter; snake_case is ours, its unit last.
-- Few indexes: DuckDB fills a table with a PRIMARY KEY three times slower (`tag` has none).
-- `root` and `path` of a file: the drop folder's absolute path, and the path below it.
CREATE TABLE migration (
    number       INTEGER   PRIMARY KEY,
    name         VARCHAR   NOT NULL,
    applied_utc  TIMESTAMP NOT NULL
);
COMMENT ON TABLE migration IS 'which steps brought this catalog to its present form';
COMMENT ON COLUMN migration.number IS 'number of the step';
COMMENT ON COLUMN migration.name IS 'its file in ingestd/sql/migrations';
COMMENT ON COLUMN migration.applied_utc IS 'when it ran';

CREATE SEQUENCE instance_id_seq;

CREATE TABLE file (
    root            VARCHAR   NOT NULL,
    path            VARCHAR   NOT NULL,
    size_bytes      BIGINT    NOT NULL,
    mtime_ns        BIGINT    NOT NULL,
    state           VARCHAR   NOT NULL,
    reason          VARCHAR,
    detail          VARCHAR,
    attempts        INTEGER   NOT NULL,
    not_before_utc  TIMESTAMP,
    digest          VARCHAR,
    SOPInstanceUID  VARCHAR,
    first_seen_utc  TIMESTAMP NOT NULL,
    state_utc       TIMESTAMP NOT NULL,
    PRIMARY KEY (root, path),
    CHECK (state IN ('cataloged', 'duplicate', 'conflict', 'refused', 'retry', 'gone')),
    CHECK ((state IN ('refused', 'retry')) <= (reason IS NOT NULL))
);
COMMENT ON TABLE file IS 'the ledger: one row for each file ever seen in a drop folder';
COMMENT ON COLUMN file.root IS 'absolute path of the drop folder';
COMMENT ON COLUMN file.path IS 'path below root; a byte that is not UTF-8 is written //xNN';
COMMENT ON COLUMN file.size_bytes IS 'size when it was read';
COMMENT ON COLUMN file.mtime_ns IS 'modification time when it was read, as the file system says it';
COMMENT ON COLUMN file.state IS 'cataloged, duplicate, conflict, refused, retry or gone';
COMMENT ON COLUMN file.reason IS 'why it is refused or in retry; docs/reasons.md has a heading for each';
COMMENT ON COLUMN file.detail IS 'the reason in words; no patient data';
COMMENT ON COLUMN file.attempts IS 'how often it was read without success since it last changed';
COMMENT ON COLUMN file.not_before_utc IS 'state retry: when it is read again';
COMMENT ON COLUMN file.digest IS 'BLAKE3 of its bytes, hexadecimal';
COMMENT ON COLUMN file.SOPInstanceUID IS '(0008,0018) of the data set in it';
COMMENT ON COLUMN file.first_seen_utc IS 'when its first outcome was written';
COMMENT ON COLUMN file.state_utc IS 'when this outcome was written';

CREATE TABLE instance (
    -- identity
    SOPInstanceUID                  VARCHAR PRIMARY KEY,
    StudyInstanceUID                VARCHAR NOT NULL,
    SeriesInstanceUID               VARCHAR NOT NULL,
    SOPClassUID                     VARCHAR,
    TransferSyntaxUID               VARCHAR,
    FrameOfReferenceUID             VARCHAR,
    SpecificCharacterSet            VARCHAR[],
    TimezoneOffsetFromUTC           VARCHAR,
    -- patient
    PatientID                       VARCHAR,
    IssuerOfPatientID               VARCHAR,
    PatientName                     VARCHAR,
    PatientBirthDate                DATE,
    PatientSex                      VARCHAR,
    PatientAge                      VARCHAR,
    PatientSize                     DOUBLE,
    PatientWeight                   DOUBLE,
    PatientIdentityRemoved          VARCHAR,
    DeidentificationMethod          VARCHAR,
    -- study
    StudyID                         VARCHAR,
    StudyDate                       DATE,
    StudyTime                       TIME,
    StudyDescription                VARCHAR,
    AccessionNumber                 VARCHAR,
    ReferringPhysicianName          VARCHAR,
    InstitutionName                 VARCHAR,
    InstitutionalDepartmentName     VARCHAR,
    -- series
    Modality                        VARCHAR,
    SeriesNumber                    INTEGER,
    SeriesDescription               VARCHAR,
    SeriesDate                      DATE,
    SeriesTime                      TIME,
    ProtocolName                    VARCHAR,
    BodyPartExamined                VARCHAR,
    Laterality                      VARCHAR,
    PatientPosition                 VARCHAR,
    -- machine
    Manufacturer                    VARCHAR,
    ManufacturerModelName           VARCHAR,
    StationName                     VARCHAR,
    DeviceSerialNumber              VARCHAR,
    SoftwareVersions                VARCHAR,
    MagneticFieldStrength           DOUBLE,
    -- instance and acquisition
    InstanceNumber                  INTEGER,
    AcquisitionNumber               INTEGER,
    InstanceCreationDate            DATE,
    InstanceCreationTime            TIME,
    AcquisitionDate                 DATE,
    AcquisitionTime                 TIME,
    AcquisitionDateTime             VARCHAR,
    ContentDate                     DATE,
    ContentTime                     TIME,
    AcquisitionDuration             DOUBLE,
    ImageType                       VARCHAR[],
    ImageComments                   VARCHAR,
    DerivationDescription           VARCHAR,
    ConversionType                  VARCHAR,
    ContentLabel                    VARCHAR,
    BurnedInAnnotation              VARCHAR,
    PresentationIntentType          VARCHAR,
    -- pixels
    Rows                            INTEGER,
    Columns                         INTEGER,
    NumberOfFrames                  INTEGER,
    SamplesPerPixel                 INTEGER,
    PhotometricInterpretation       VARCHAR,
    PlanarConfiguration             INTEGER,
    BitsAllocated                   INTEGER,
    BitsStored                      INTEGER,
    HighBit                         INTEGER,
    PixelRepresentation             INTEGER,
    PixelAspectRatio                INTEGER[],
    LossyImageCompression           VARCHAR,
    LossyImageCompressionRatio      DOUBLE[],
    LossyImageCompressionMethod     VARCHAR[],
    RescaleSlope                    DOUBLE,
    RescaleIntercept                DOUBLE,
    RescaleType                     VARCHAR,
    Units                           VARCHAR,
    WindowCenter                    DOUBLE[],
    WindowWidth                     DOUBLE[],
    WindowCenterWidthExplanation    VARCHAR,
    VOILUTFunction                  VARCHAR,
    -- geometry
    PixelSpacing                    DOUBLE[],
    ImagerPixelSpacing              DOUBLE[],
    ImagePositionPatient            DOUBLE[],
    ImageOrientationPatient         DOUBLE[],
    SliceThickness                  DOUBLE,
    SpacingBetweenSlices            DOUBLE,
    SliceLocation                   DOUBLE,
    GantryDetectorTilt              DOUBLE,
    PositionReferenceIndicator      VARCHAR,
    ViewPosition                    VARCHAR,
    ImageLaterality                 VARCHAR,
    -- how many there should be
    ImagesInAcquisition             INTEGER,
    NumberOfTemporalPositions       INTEGER,
    TemporalPositionIdentifier      INTEGER,
    NumberOfSlices                  INTEGER,
    NumberOfTimeSlices              INTEGER,
    CardiacNumberOfImages           INTEGER,
    NumberOfSeriesRelatedInstances  INTEGER,
    TriggerTime                     DOUBLE,
    FrameTime                       DOUBLE,
    -- CT and X-ray
    KVP                             DOUBLE,
    XRayTubeCurrent                 INTEGER,
    Exposure                        INTEGER,
    ExposureTime                    INTEGER,
    ConvolutionKernel               VARCHAR,
    FilterType                      VARCHAR,
    ScanOptions                     VARCHAR[],
    DataCollectionDiameter          DOUBLE,
    ReconstructionDiameter          DOUBLE,
    TableHeight                     DOUBLE,
    SpiralPitchFactor               DOUBLE,
    CTDIvol                         DOUBLE,
    ContrastBolusAgent              VARCHAR,
    ContrastBolusRoute              VARCHAR,
    ContrastBolusVolume             DOUBLE,
    -- MR
    ScanningSequence                VARCHAR[],
    SequenceVariant                 VARCHAR[],
    SequenceName                    VARCHAR,
    MRAcquisitionType               VARCHAR,
    RepetitionTime                  DOUBLE,
    EchoTime                        DOUBLE,
    EchoNumbers                     INTEGER[],
    EchoTrainLength                 INTEGER,
    InversionTime                   DOUBLE,
    FlipAngle                       DOUBLE,
    NumberOfAverages                DOUBLE,
    ImagingFrequency                DOUBLE,
    PixelBandwidth                  DOUBLE,
    ReceiveCoilName                 VARCHAR,
    InPlanePhaseEncodingDirection   VARCHAR,
    AcquisitionMatrix               INTEGER[],
    DiffusionBValue                 DOUBLE,
    ComplexImageComponent           VARCHAR,
    -- PET and radiotherapy
    SeriesType                      VARCHAR[],
    CountsSource                    VARCHAR,
    CorrectedImage                  VARCHAR[],
    DecayCorrection                 VARCHAR,
    AttenuationCorrectionMethod     VARCHAR,
    ReconstructionMethod            VARCHAR,
    FrameReferenceTime              DOUBLE,
    ActualFrameDuration             INTEGER,
    StructureSetLabel               VARCHAR,
    RTPlanLabel                     VARCHAR,
    DoseUnits                       VARCHAR,
    DoseType                        VARCHAR,
    DoseSummationType               VARCHAR,
    DoseGridScaling                 DOUBLE,
    instance_id BIGINT NOT NULL,
    root VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    size_bytes BIGINT NOT NULL,
    frames INTEGER,
    has_pixels BOOLEAN NOT NULL,
    thumbnail_path VARCHAR,
    window_source VARCHAR,
    revision INTEGER NOT NULL,
    ingested_utc TIMESTAMP NOT NULL
);
COMMENT ON TABLE instance IS 'one row for each SOP instance';
COMMENT ON COLUMN instance.SOPInstanceUID IS '(0008,0018) SOP Instance UID: this instance; unique in the catalog';
COMMENT ON COLUMN instance.StudyInstanceUID IS '(0020,000d) Study Instance UID: the study it belongs to';
COMMENT ON COLUMN instance.SeriesInstanceUID IS '(0020,000e) Series Instance UID: the series it belongs to';
COMMENT ON COLUMN instance.SOPClassUID IS '(0008,0016) SOP Class UID: what kind of object it is';
COMMENT ON COLUMN instance.TransferSyntaxUID IS '(0002,0010) Transfer Syntax UID: how the file is encoded; from the file meta, NULL without one';
COMMENT ON COLUMN instance.FrameOfReferenceUID IS '(0020,0052) Frame of Reference UID: the coordinate system that positions are given in';
COMMENT ON COLUMN instance.SpecificCharacterSet IS '(0008,0005) Specific Character Set: how text is encoded in the file; in the catalog all text is Unicode';
COMMENT ON COLUMN instance.TimezoneOffsetFromUTC IS '(0008,0201) Timezone Offset From UTC: offset of the times in this instance, as sent';
COMMENT ON COLUMN instance.PatientID IS '(0010,0020) Patient ID: identifier of the patient';
COMMENT ON COLUMN instance.IssuerOfPatientID IS '(0010,0021) Issuer of Patient ID: who gave the identifier';
COMMENT ON COLUMN instance.PatientName IS '(0010,0010) Patient''s Name: name as sent, component groups separated by =';
COMMENT ON COLUMN instance.PatientBirthDate IS '(0010,0030) Patient''s Birth Date: date of birth';
COMMENT ON COLUMN instance.PatientSex IS '(0010,0040) Patient''s Sex: M, F or O';
COMMENT ON COLUMN instance.PatientAge IS '(0010,1010) Patient''s Age: age at the study as sent, such as 045Y';
COMMENT ON COLUMN instance.PatientSize IS '(0010,1020) Patient''s Size: height in metres';
COMMENT ON COLUMN instance.PatientWeight IS '(0010,1030) Patient''s Weight: weight in kilograms';
COMMENT ON COLUMN instance.PatientIdentityRemoved IS '(0012,0062) Patient Identity Removed: YES when the sender de-identified it';
COMMENT ON COLUMN instance.DeidentificationMethod IS '(0012,0063) De-identification Method: how the sender de-identified it';
COMMENT ON COLUMN instance.StudyID IS '(0020,0010) Study ID: number or name of the study';
COMMENT ON COLUMN instance.StudyDate IS '(0008,0020) Study Date: day the study began';
COMMENT ON COLUMN instance.StudyTime IS '(0008,0030) Study Time: time the study began';
COMMENT ON COLUMN instance.StudyDescription IS '(0008,1030) Study Description: what the study is';
COMMENT ON COLUMN instance.AccessionNumber IS '(0008,0050) Accession Number: number of the order';
COMMENT ON COLUMN instance.ReferringPhysicianName IS '(0008,0090) Referring Physician''s Name: who referred the patient';
COMMENT ON COLUMN instance.InstitutionName IS '(0008,0080) Institution Name: where it was made';
COMMENT ON COLUMN instance.InstitutionalDepartmentName IS '(0008,1040) Institutional Department Name: department where it was made';
COMMENT ON COLUMN instance.Modality IS '(0008,0060) Modality: CT, MR, PT, US, SEG ...';
COMMENT ON COLUMN instance.SeriesNumber IS '(0020,0011) Series Number: number of the series in its study';
COMMENT ON COLUMN instance.SeriesDescription IS '(0008,103e) Series Description: what the series is';
COMMENT ON COLUMN instance.SeriesDate IS '(0008,0021) Series Date: day the series began';
COMMENT ON COLUMN instance.SeriesTime IS '(0008,0031) Series Time: time the series began';
COMMENT ON COLUMN instance.ProtocolName IS '(0018,1030) Protocol Name: protocol that was run';
COMMENT ON COLUMN instance.BodyPartExamined IS '(0018,0015) Body Part Examined: part of the body';
COMMENT ON COLUMN instance.Laterality IS '(0020,0060) Laterality: side of a paired body part, for the series';
COMMENT ON COLUMN instance.PatientPosition IS '(0018,5100) Patient Position: position in the machine, such as HFS';
COMMENT ON COLUMN instance.Manufacturer IS '(0008,0070) Manufacturer: maker of the machine';
COMMENT ON COLUMN instance.ManufacturerModelName IS '(0008,1090) Manufacturer''s Model Name: model of the machine';
COMMENT ON COLUMN instance.StationName IS '(0008,1010) Station Name: name of the machine';
COMMENT ON COLUMN instance.DeviceSerialNumber IS '(0018,1000) Device Serial Number: serial number of the machine';
COMMENT ON COLUMN instance.SoftwareVersions IS '(0018,1020) Software Versions: software of the machine';
COMMENT ON COLUMN instance.MagneticFieldStrength IS '(0018,0087) Magnetic Field Strength: field in tesla';
COMMENT ON COLUMN instance.InstanceNumber IS '(0020,0013) Instance Number: number of the instance in its series';
COMMENT ON COLUMN instance.AcquisitionNumber IS '(0020,0012) Acquisition Number: number of the acquisition';
COMMENT ON COLUMN instance.InstanceCreationDate IS '(0008,0012) Instance Creation Date: day the instance was made';
COMMENT ON COLUMN instance.InstanceCreationTime IS '(0008,0013) Instance Creation Time: time the instance was made';
COMMENT ON COLUMN instance.AcquisitionDate IS '(0008,0022) Acquisition Date: day the data was acquired';
COMMENT ON COLUMN instance.AcquisitionTime IS '(0008,0032) Acquisition Time: time the data was acquired';
COMMENT ON COLUMN instance.AcquisitionDateTime IS '(0008,002a) Acquisition DateTime: when the data was acquired, as sent';
COMMENT ON COLUMN instance.ContentDate IS '(0008,0023) Content Date: day the content was made';
COMMENT ON COLUMN instance.ContentTime IS '(0008,0033) Content Time: time the content was made';
COMMENT ON COLUMN instance.AcquisitionDuration IS '(0018,9073) Acquisition Duration: seconds the acquisition took';
COMMENT ON COLUMN instance.ImageType IS '(0008,0008) Image Type: ORIGINAL or DERIVED, PRIMARY or SECONDARY, and what the machine adds';
COMMENT ON COLUMN instance.ImageComments IS '(0020,4000) Image Comments: comment on the image';
COMMENT ON COLUMN instance.DerivationDescription IS '(0008,2111) Derivation Description: how it was derived';
COMMENT ON COLUMN instance.ConversionType IS '(0008,0064) Conversion Type: how a secondary capture was made';
COMMENT ON COLUMN instance.ContentLabel IS '(0070,0080) Content Label: label of a presentation, map or segmentation';
COMMENT ON COLUMN instance.BurnedInAnnotation IS '(0028,0301) Burned In Annotation: YES when text is part of the pixels';
COMMENT ON COLUMN instance.PresentationIntentType IS '(0008,0068) Presentation Intent Type: FOR PRESENTATION or FOR PROCESSING';
COMMENT ON COLUMN instance.Rows IS '(0028,0010) Rows: height in pixels';
COMMENT ON COLUMN instance.Columns IS '(0028,0011) Columns: width in pixels';
COMMENT ON COLUMN instance.NumberOfFrames IS '(0028,0008) Number of Frames: frames the header claims';
COMMENT ON COLUMN instance.SamplesPerPixel IS '(0028,0002) Samples per Pixel: 1 for grey, 3 for colour';
COMMENT ON COLUMN instance.PhotometricInterpretation IS '(0028,0004) Photometric Interpretation: what a sample means';
COMMENT ON COLUMN instance.PlanarConfiguration IS '(0028,0006) Planar Configuration: 0 colour by pixel, 1 colour by plane';
COMMENT ON COLUMN instance.BitsAllocated IS '(0028,0100) Bits Allocated: bits a sample takes';
COMMENT ON COLUMN instance.BitsStored IS '(0028,0101) Bits Stored: bits of a sample in use';
COMMENT ON COLUMN instance.HighBit IS '(0028,0102) High Bit: highest bit in use';
COMMENT ON COLUMN instance.PixelRepresentation IS '(0028,0103) Pixel Representation: 0 unsigned, 1 signed';
COMMENT ON COLUMN instance.PixelAspectRatio IS '(0028,0034) Pixel Aspect Ratio: height to width of a pixel';
COMMENT ON COLUMN instance.LossyImageCompression IS '(0028,2110) Lossy Image Compression: 01 when it was ever compressed with loss';
COMMENT ON COLUMN instance.LossyImageCompressionRatio IS '(0028,2112) Lossy Image Compression Ratio: ratio of each lossy compression';
COMMENT ON COLUMN instance.LossyImageCompressionMethod IS '(0028,2114) Lossy Image Compression Method: method of each lossy compression';
COMMENT ON COLUMN instance.RescaleSlope IS '(0028,1053) Rescale Slope: modality value for a step of the stored value';
COMMENT ON COLUMN instance.RescaleIntercept IS '(0028,1052) Rescale Intercept: modality value of stored 0';
COMMENT ON COLUMN instance.RescaleType IS '(0028,1054) Rescale Type: unit of rescaled values, such as HU';
COMMENT ON COLUMN instance.Units IS '(0054,1001) Units: unit of rescaled values in PET';
COMMENT ON COLUMN instance.WindowCenter IS '(0028,1050) Window Center: centres of the windows the sender proposes';
COMMENT ON COLUMN instance.WindowWidth IS '(0028,1051) Window Width: widths of the windows the sender proposes';
COMMENT ON COLUMN instance.WindowCenterWidthExplanation IS '(0028,1055) Window Center & Width Explanation: what each window is for, joined by backslash';
COMMENT ON COLUMN instance.VOILUTFunction IS '(0028,1056) VOI LUT Function: LINEAR, LINEAR_EXACT or SIGMOID';
COMMENT ON COLUMN instance.PixelSpacing IS '(0028,0030) Pixel Spacing: mm between rows, mm between columns';
COMMENT ON COLUMN instance.ImagerPixelSpacing IS '(0018,1164) Imager Pixel Spacing: mm between rows, mm between columns, at the detector';
COMMENT ON COLUMN instance.ImagePositionPatient IS '(0020,0032) Image Position (Patient): x, y, z in mm of the centre of the first pixel';
COMMENT ON COLUMN instance.ImageOrientationPatient IS '(0020,0037) Image Orientation (Patient): direction cosines of the rows, then of the columns';
COMMENT ON COLUMN instance.SliceThickness IS '(0018,0050) Slice Thickness: mm, as the machine claims; slice_spacing_mm is what was measured';
COMMENT ON COLUMN instance.SpacingBetweenSlices IS '(0018,0088) Spacing Between Slices: mm, as the machine claims; slice_spacing_mm is what was measured';
COMMENT ON COLUMN instance.SliceLocation IS '(0020,1041) Slice Location: mm, as the machine claims; relative to an unknown point';
COMMENT ON COLUMN instance.GantryDetectorTilt IS '(0018,1120) Gantry/Detector Tilt: degrees, as the machine claims';
COMMENT ON COLUMN instance.PositionReferenceIndicator IS '(0020,1040) Position Reference Indicator: anatomical reference of the frame of reference';
COMMENT ON COLUMN instance.ViewPosition IS '(0018,5101) View Position: projection, such as AP';
COMMENT ON COLUMN instance.ImageLaterality IS '(0020,0062) Image Laterality: side of a paired body part, for the image';
COMMENT ON COLUMN instance.ImagesInAcquisition IS '(0020,1002) Images in Acquisition: images in the acquisition';
COMMENT ON COLUMN instance.NumberOfTemporalPositions IS '(0020,0105) Number of Temporal Positions: time points in the acquisition';
COMMENT ON COLUMN instance.TemporalPositionIdentifier IS '(0020,0100) Temporal Position Identifier: which time point this is';
COMMENT ON COLUMN instance.NumberOfSlices IS '(0054,0081) Number of Slices: slices of a PET volume';
COMMENT ON COLUMN instance.NumberOfTimeSlices IS '(0054,0101) Number of Time Slices: time points of a PET series';
COMMENT ON COLUMN instance.CardiacNumberOfImages IS '(0018,1090) Cardiac Number of Images: images of a heart cycle';
COMMENT ON COLUMN instance.NumberOfSeriesRelatedInstances IS '(0020,1209) Number of Series Related Instances: instances in the series, as the sender says';
COMMENT ON COLUMN instance.TriggerTime IS '(0018,1060) Trigger Time: ms after the trigger';
COMMENT ON COLUMN instance.FrameTime IS '(0018,1063) Frame Time: ms for a frame of a cine';
COMMENT ON COLUMN instance.KVP IS '(0018,0060) KVP: peak kilovoltage';
COMMENT ON COLUMN instance.XRayTubeCurrent IS '(0018,1151) X-Ray Tube Current: mA';
COMMENT ON COLUMN instance.Exposure IS '(0018,1152) Exposure: mAs';
COMMENT ON COLUMN instance.ExposureTime IS '(0018,1150) Exposure Time: ms';
COMMENT ON COLUMN instance.ConvolutionKernel IS '(0018,1210) Convolution Kernel: reconstruction kernel, joined by backslash';
COMMENT ON COLUMN instance.FilterType IS '(0018,1160) Filter Type: filter in the beam';
COMMENT ON COLUMN instance.ScanOptions IS '(0018,0022) Scan Options: options of the scan';
COMMENT ON COLUMN instance.DataCollectionDiameter IS '(0018,0090) Data Collection Diameter: mm, over which data was collected';
COMMENT ON COLUMN instance.ReconstructionDiameter IS '(0018,1100) Reconstruction Diameter: mm, of the reconstruction';
COMMENT ON COLUMN instance.TableHeight IS '(0018,1130) Table Height: mm';
COMMENT ON COLUMN instance.SpiralPitchFactor IS '(0018,9311) Spiral Pitch Factor: table feed for a rotation, divided by the collimation';
COMMENT ON COLUMN instance.CTDIvol IS '(0018,9345) CTDIvol: mGy';
COMMENT ON COLUMN instance.ContrastBolusAgent IS '(0018,0010) Contrast/Bolus Agent: contrast agent';
COMMENT ON COLUMN instance.ContrastBolusRoute IS '(0018,1040) Contrast/Bolus Route: how the contrast agent was given';
COMMENT ON COLUMN instance.ContrastBolusVolume IS '(0018,1041) Contrast/Bolus Volume: ml of contrast agent';
COMMENT ON COLUMN instance.ScanningSequence IS '(0018,0020) Scanning Sequence: SE, IR, GR, EP, RM';
COMMENT ON COLUMN instance.SequenceVariant IS '(0018,0021) Sequence Variant: SK, MTC, SS, TRSS, SP, MP, OSP';
COMMENT ON COLUMN instance.SequenceName IS '(0018,0024) Sequence Name: name of the sequence';
COMMENT ON COLUMN instance.MRAcquisitionType IS '(0018,0023) MR Acquisition Type: 2D or 3D';
COMMENT ON COLUMN instance.RepetitionTime IS '(0018,0080) Repetition Time: ms';
COMMENT ON COLUMN instance.EchoTime IS '(0018,0081) Echo Time: ms';
COMMENT ON COLUMN instance.EchoNumbers IS '(0018,0086) Echo Number(s): which echo';
COMMENT ON COLUMN instance.EchoTrainLength IS '(0018,0091) Echo Train Length: lines for each excitation';
COMMENT ON COLUMN instance.InversionTime IS '(0018,0082) Inversion Time: ms';
COMMENT ON COLUMN instance.FlipAngle IS '(0018,1314) Flip Angle: degrees';
COMMENT ON COLUMN instance.NumberOfAverages IS '(0018,0083) Number of Averages: how often each line was acquired';
COMMENT ON COLUMN instance.ImagingFrequency IS '(0018,0084) Imaging Frequency: MHz';
COMMENT ON COLUMN instance.PixelBandwidth IS '(0018,0095) Pixel Bandwidth: Hz for each pixel';
COMMENT ON COLUMN instance.ReceiveCoilName IS '(0018,1250) Receive Coil Name: receiving coil';
COMMENT ON COLUMN instance.InPlanePhaseEncodingDirection IS '(0018,1312) In-plane Phase Encoding Direction: ROW or COL';
COMMENT ON COLUMN instance.AcquisitionMatrix IS '(0018,1310) Acquisition Matrix: frequency rows, frequency columns, phase rows, phase columns';
COMMENT ON COLUMN instance.DiffusionBValue IS '(0018,9087) Diffusion b-value: s/mm2';
COMMENT ON COLUMN instance.ComplexImageComponent IS '(0008,9208) Complex Image Component: MAGNITUDE, PHASE, REAL, IMAGINARY or MIXED';
COMMENT ON COLUMN instance.SeriesType IS '(0054,1000) Series Type: STATIC, DYNAMIC, GATED or WHOLE BODY; IMAGE or REPROJECTION';
COMMENT ON COLUMN instance.CountsSource IS '(0054,1002) Counts Source: EMISSION or TRANSMISSION';
COMMENT ON COLUMN instance.CorrectedImage IS '(0028,0051) Corrected Image: corrections that were applied';
COMMENT ON COLUMN instance.DecayCorrection IS '(0054,1102) Decay Correction: NONE, START or ADMIN';
COMMENT ON COLUMN instance.AttenuationCorrectionMethod IS '(0054,1101) Attenuation Correction Method: how attenuation was corrected';
COMMENT ON COLUMN instance.ReconstructionMethod IS '(0054,1103) Reconstruction Method: how it was reconstructed';
COMMENT ON COLUMN instance.FrameReferenceTime IS '(0054,1300) Frame Reference Time: ms from the start of the series to the mean of the frame';
COMMENT ON COLUMN instance.ActualFrameDuration IS '(0018,1242) Actual Frame Duration: ms';
COMMENT ON COLUMN instance.StructureSetLabel IS '(3006,0002) Structure Set Label: label of a structure set';
COMMENT ON COLUMN instance.RTPlanLabel IS '(300a,0002) RT Plan Label: label of a plan';
COMMENT ON COLUMN instance.DoseUnits IS '(3004,0002) Dose Units: GY or RELATIVE';
COMMENT ON COLUMN instance.DoseType IS '(3004,0004) Dose Type: PHYSICAL, EFFECTIVE or ERROR';
COMMENT ON COLUMN instance.DoseSummationType IS '(3004,000a) Dose Summation Type: what the dose sums up';
COMMENT ON COLUMN instance.DoseGridScaling IS '(3004,000e) Dose Grid Scaling: dose for a step of the stored value';
COMMENT ON COLUMN instance.instance_id IS 'our short number for it; joins `tag`';
COMMENT ON COLUMN instance.root IS 'file.root of the file it was read from';
COMMENT ON COLUMN instance.path IS 'file.path of the file it was read from';
COMMENT ON COLUMN instance.digest IS 'BLAKE3 of that file, hexadecimal';
COMMENT ON COLUMN instance.size_bytes IS 'size of that file';
COMMENT ON COLUMN instance.frames IS 'frames in the pixel data; NULL without pixels';
COMMENT ON COLUMN instance.has_pixels IS 'whether the header is followed by pixel data';
COMMENT ON COLUMN instance.thumbnail_path IS 'its thumbnail, relative to the state folder';
COMMENT ON COLUMN instance.window_source IS 'where the grey values of the thumbnail come from';
COMMENT ON COLUMN instance.revision IS 'goes up each time the file is replaced in place';
COMMENT ON COLUMN instance.ingested_utc IS 'when this row was written';

CREATE TABLE tag (
    instance_id      BIGINT  NOT NULL,
    path             VARCHAR NOT NULL,
    tag              VARCHAR NOT NULL,
    keyword          VARCHAR,
    private_creator  VARCHAR,
    vr               VARCHAR,
    vm               INTEGER,
    value            VARCHAR,
    number           DOUBLE,
    size_bytes       BIGINT
);
COMMENT ON TABLE tag IS 'every element of every instance, nested and private ones too; join instance by instance_id';
COMMENT ON COLUMN tag.instance_id IS 'the instance it belongs to';
COMMENT ON COLUMN tag.path IS 'where it stands: 0040A730[2].00080104 is in the third item of (0040,A730)';
COMMENT ON COLUMN tag.tag IS 'group and element, eight hexadecimal digits';
COMMENT ON COLUMN tag.keyword IS 'keyword of PS3.6; NULL when it has none';
COMMENT ON COLUMN tag.private_creator IS 'private elements: who reserved the block (PS3.5 7.8.1)';
COMMENT ON COLUMN tag.vr IS 'value representation (PS3.5 6.2)';
COMMENT ON COLUMN tag.vm IS 'how many values; for a sequence, how many items';
COMMENT ON COLUMN tag.value IS 'as text, values joined by a backslash; NULL for binary values and sequences';
COMMENT ON COLUMN tag.number IS 'the same as a number, when it is a single one';
COMMENT ON COLUMN tag.size_bytes IS 'length of the whole value in the file';

CREATE TABLE volume (
    SeriesInstanceUID     VARCHAR   NOT NULL,
    stack                 INTEGER   NOT NULL,
    reason                VARCHAR,
    detail                VARCHAR,
    path                  VARCHAR,
    shape                 INTEGER[],
    dtype                 VARCHAR,
    spacing_mm            DOUBLE[],
    affine_lps_mm         DOUBLE[],
    slice_spacing_mm      DOUBLE,
    spacing_deviation_mm  DOUBLE,
    tilt_degrees          DOUBLE,
    missing_slices        DOUBLE[],
    orientation           VARCHAR,
    split_by              VARCHAR,
    units                 VARCHAR,
    revision              INTEGER   NOT NULL,
    built_utc             TIMESTAMP NOT NULL,
    PRIMARY KEY (SeriesInstanceUID, stack),
    CHECK ((reason IS NULL) = (path IS NOT NULL))
);
COMMENT ON TABLE volume IS 'one row for each stack that a series was made into, or why it is none';
COMMENT ON COLUMN volume.SeriesInstanceUID IS '(0020,000E) the series';
COMMENT ON COLUMN volume.stack IS 'number of the stack within its series, from 0';
COMMENT ON COLUMN volume.reason IS 'NULL: there is a file. Otherwise why not; docs/reasons.md has a heading for each';
COMMENT ON COLUMN volume.detail IS 'the reason in words, with slices and distances; or what to know of a volume that was built';
COMMENT ON COLUMN volume.path IS 'the file, relative to the state folder';
COMMENT ON COLUMN volume.shape IS 'timepoints (only when there are several), slices, rows, columns';
COMMENT ON COLUMN volume.dtype IS 'type of the stored voxels, as numpy names it';
COMMENT ON COLUMN volume.spacing_mm IS 'distance between slices, rows and columns';
COMMENT ON COLUMN volume.affine_lps_mm IS '4 x 4, row by row: (slice, row, column, 1) to patient left, posterior, superior (PS3.3 C.7.6.2.1.1)';
COMMENT ON COLUMN volume.slice_spacing_mm IS 'measured between positions; SliceThickness is not asked';
COMMENT ON COLUMN volume.spacing_deviation_mm IS 'the largest difference of a gap from slice_spacing_mm';
COMMENT ON COLUMN volume.tilt_degrees IS 'angle between stacking direction and slice normal';
COMMENT ON COLUMN volume.missing_slices IS 'positions along the normal, in mm, where a slice should be and is none';
COMMENT ON COLUMN volume.orientation IS 'axial, coronal, sagittal or oblique';
COMMENT ON COLUMN volume.split_by IS 'what tells this stack from the others of its series';
COMMENT ON COLUMN volume.units IS 'of the voxels after rescale, when the header says so';
COMMENT ON COLUMN volume.revision IS 'series_state.revision it was made from';
COMMENT ON COLUMN volume.built_utc IS 'when it was made';

CREATE TABLE volume_slice (
    SeriesInstanceUID  VARCHAR NOT NULL,
    stack              INTEGER NOT NULL,
    timepoint          INTEGER NOT NULL,
    slice              INTEGER NOT NULL,
    SOPInstanceUID     VARCHAR NOT NULL,
    frame              INTEGER NOT NULL,
    position_mm        DOUBLE
);
COMMENT ON TABLE volume_slice IS 'which instance and frame each slice of a volume came from';
COMMENT ON COLUMN volume_slice.SeriesInstanceUID IS '(0020,000E) the series';
COMMENT ON COLUMN volume_slice.stack IS 'volume.stack';
COMMENT ON COLUMN volume_slice.timepoint IS 'index along the first axis, from 0; 0 when there is one';
COMMENT ON COLUMN volume_slice.slice IS 'index along the slice axis, from 0';
COMMENT ON COLUMN volume_slice.SOPInstanceUID IS '(0008,0018) the instance';
COMMENT ON COLUMN volume_slice.frame IS 'frame within the instance, from 0; in a mosaic, the tile';
COMMENT ON COLUMN volume_slice.position_mm IS 'dot product of ImagePositionPatient and the slice normal';

CREATE TABLE series_state (
    SeriesInstanceUID  VARCHAR   PRIMARY KEY,
    state              VARCHAR   NOT NULL,
    evidence           VARCHAR,
    expected           INTEGER,
    found              INTEGER,
    missing            VARCHAR[],
    first_arrival_utc  TIMESTAMP NOT NULL,
    last_arrival_utc   TIMESTAMP NOT NULL,
    revision           INTEGER   NOT NULL,
    CHECK (state IN ('receiving', 'quiet', 'complete', 'incomplete', 'unknown'))
);
COMMENT ON TABLE series_state IS 'how far each series is, and what says so';
COMMENT ON COLUMN series_state.SeriesInstanceUID IS '(0020,000E) the series';
COMMENT ON COLUMN series_state.state IS 'receiving, quiet, complete, incomplete or unknown';
COMMENT ON COLUMN series_state.evidence IS 'the rule that decided, in words';
COMMENT ON COLUMN series_state.expected IS 'how many images there should be, when something says so';
COMMENT ON COLUMN series_state.found IS 'how many there are';
COMMENT ON COLUMN series_state.missing IS 'what is missing, by name';
COMMENT ON COLUMN series_state.first_arrival_utc IS 'when its first instance was cataloged';
COMMENT ON COLUMN series_state.last_arrival_utc IS 'when its newest instance was cataloged';
COMMENT ON COLUMN series_state.revision IS 'goes up each time a late arrival re-opens it';

CREATE TABLE problem (
    SOPInstanceUID  VARCHAR,
    root            VARCHAR,
    path            VARCHAR,
    kind            VARCHAR   NOT NULL,
    keyword         VARCHAR,
    raw             VARCHAR,
    detail          VARCHAR,
    at_utc          TIMESTAMP NOT NULL
);
COMMENT ON TABLE problem IS 'what was odd about a file that was cataloged all the same';
COMMENT ON COLUMN problem.SOPInstanceUID IS '(0008,0018) of the instance';
COMMENT ON COLUMN problem.root IS 'file.root of the file';
COMMENT ON COLUMN problem.path IS 'file.path of the file';
COMMENT ON COLUMN problem.kind IS 'one word: bad_value, truncated, no_file_meta, decoder_failed, ...';
COMMENT ON COLUMN problem.keyword IS 'the attribute it is about, if any';
COMMENT ON COLUMN problem.raw IS 'the value as it stands in the file';
COMMENT ON COLUMN problem.detail IS 'in words';
COMMENT ON COLUMN problem.at_utc IS 'when it was noted';

CREATE TABLE event (
    at_utc             TIMESTAMP NOT NULL,
    kind               VARCHAR   NOT NULL,
    root               VARCHAR,
    SeriesInstanceUID  VARCHAR,
    detail             VARCHAR
);
COMMENT ON TABLE event IS 'what happened that someone may want to know of: series judged, roots lost and found';
COMMENT ON COLUMN event.at_utc IS 'when';
COMMENT ON COLUMN event.kind IS 'one past-tense word: series_complete, series_reopened, root_unreachable, ...';
COMMENT ON COLUMN event.root IS 'the drop folder it is about, if any';
COMMENT ON COLUMN event.SeriesInstanceUID IS '(0020,000E) the series it is about, if any';
COMMENT ON COLUMN event.detail IS 'in words; no patient data';
