"""Evidence by one verb each: accuracy, time and memory, reproducibility. Developer programs, not shipped."""
