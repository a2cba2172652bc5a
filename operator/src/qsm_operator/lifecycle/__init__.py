"""The life of a QSMJob, decided. Pure: facts in, decision out; `reconcile` is the page to open first."""
