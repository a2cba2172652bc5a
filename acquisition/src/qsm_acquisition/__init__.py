"""What is an acquisition? DICOM headers in; complete acquisitions or reasoned refusals out.

No pixels, no network, no numpy: the operator decides with this before a pod exists, the reconstruction reads
with it, so that the two cannot disagree about one patient's scan.
"""
