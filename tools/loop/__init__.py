"""The whole loop on one machine: Kubernetes, Orthanc, PACS, object store, Prometheus; a scan comes back as a map."""
