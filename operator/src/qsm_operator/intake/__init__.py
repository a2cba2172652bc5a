"""`qsm-operator intake`: sees to it that each acquisition in Orthanc gets its QSMJobs once (docs/intake.md)."""
