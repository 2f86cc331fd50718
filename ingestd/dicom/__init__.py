"""Pure. What DICOM says, without files, clocks or databases."""
