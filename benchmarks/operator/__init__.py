"""How fast, how frugal and how dependable the operator is, on a real control plane with fake nodes."""
