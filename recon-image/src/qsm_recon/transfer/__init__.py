"""Doors to the world: where images come from, and where results go (docs/contract.md)."""
