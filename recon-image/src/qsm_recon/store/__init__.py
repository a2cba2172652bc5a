"""Interim data: what finished stages gave, kept under keys that hash what they depend on (docs/store.md)."""
