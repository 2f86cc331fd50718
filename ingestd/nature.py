"""Pure. What is whole by its nature: one object that no other one belongs to.

documents   objects that hold no slice (a report, a plan, a curve): any number of them is whole
frames      one object with several frames holds its series (but for slides, which come as many
            levels, and for parts of a concatenation, which are counted)
scout       one LOCALIZER: slices are planned on it, and none is stacked with it
view        one exposure, photograph or clip; of two or more, a third one may be lost
one slice   of CT, MR, PT and the like says nothing: it may be the first of many
"""

from collections.abc import Sequence

from ingestd.claims import Image, is_localizer

#: By Modality (0008,0060). Objects that hold no slices: no number of them belongs together.
DOCUMENTS = frozenset(
    # reports, references, presentations, plans
    {"SR", "KO", "PR", "DOC", "PLAN", "ASMT", "STAIN", "SMR"}
    # registrations and regions, drawn on other series
    | {"REG", "FID", "SEG", "RWV", "ANN", "TEXTUREMAP", "M3D", "RTSEGANN"}
    # radiotherapy
    | {"RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "RTINTENT", "RTRAD"}
    # curves over time
    | {"AU", "ECG", "EPS", "HD", "RESP", "EMG", "EEG", "EOG", "POS"}
)

#: One exposure, photograph or clip is one image; one of them alone is no part of a stack.
VIEWS = frozenset(
    {"CR", "DX", "MG", "IO", "PX", "RG", "RF", "XA", "RTIMAGE", "US", "IVUS", "NM"}
    | {"XC", "ES", "OP", "DMS", "GM", "SC", "OT"}
)

#: The same by SOP class (PS3.4 B.5), for what carries the Modality of the images it is about: dose
#: reports of a CT, raw data and spectra of an MR, a PDF of anything.
DOCUMENT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.4.2": "a spectrum",
    "1.2.840.10008.5.1.4.1.1.9.": "a waveform",
    "1.2.840.10008.5.1.4.1.1.11.": "a presentation state",
    "1.2.840.10008.5.1.4.1.1.66": "raw data, a registration or a segmentation",
    "1.2.840.10008.5.1.4.1.1.67": "a real world value map",
    "1.2.840.10008.5.1.4.1.1.88.": "a report",
    "1.2.840.10008.5.1.4.1.1.104.": "a document",
}


def whole(images: Sequence[Image]) -> str | None:
    """Say why a series is whole by its nature; None when that says nothing."""
    papers = {_document(image) for image in images}
    if None not in papers:
        return f"{', '.join(sorted(map(str, papers)))} is no image of a stack"
    if len(images) > 1:
        return None
    image = images[0]
    if (image.frames or 1) > 1 and image.Modality != "SM":
        return f"one object holds all {image.frames} frames"
    if is_localizer(image):
        return "one LOCALIZER"
    if image.Modality in VIEWS:
        return f"one {image.Modality} image, whole by itself"
    return None


def _document(image: Image) -> str | None:
    """Name the kind of an object that holds no slice; None when it may hold one."""
    if image.Modality in DOCUMENTS:
        return image.Modality
    uid = image.SOPClassUID or ""
    for start, name in DOCUMENT_CLASSES.items():
        if uid == start or uid.startswith(start if start.endswith(".") else f"{start}."):
            return name
    return None
