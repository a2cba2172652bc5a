"""The door to Orthanc: `door` speaks HTTP, everything above it speaks of series, results and deliveries."""
