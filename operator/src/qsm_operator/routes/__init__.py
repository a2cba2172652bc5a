"""QSMRoutes: which of them take an acquisition, and which QSMJobs that makes. No cluster, no network."""
