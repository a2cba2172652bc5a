"""The door to Kubernetes: a few verbs, who we are there, and Leases."""
