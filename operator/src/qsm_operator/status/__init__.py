"""`qsm-operator status`: the one-minute view."""
