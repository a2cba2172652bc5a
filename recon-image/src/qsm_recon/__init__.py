"""Multi-echo gradient-echo DICOM in, quantitative susceptibility map out."""
