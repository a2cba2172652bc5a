"""`qsm-operator run`: watches QSMJobs, looks at each, does what `lifecycle` decides, and tells of it."""
