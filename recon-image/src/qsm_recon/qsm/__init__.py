"""The science: arrays in, arrays out. No DICOM, no files, no network, no logging."""
