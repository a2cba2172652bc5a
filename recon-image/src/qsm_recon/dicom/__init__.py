"""DICOM in, DICOM out: the only room of the reconstruction that knows the standard.

`read.read_scan` turns an `Acquisition` (a conclusion from headers, `qsm_acquisition`) into arrays in the units of
the science; `write.write_series` turns a map into a derived MR series. `phase` holds each vendor's way to
write a phase, `geometry` the one place where patient coordinates become voxel axes.
"""
