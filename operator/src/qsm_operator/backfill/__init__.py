"""`qsm-operator backfill`: past examinations from an archive into Orthanc."""
