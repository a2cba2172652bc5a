"""Doors to the world: where images come from and results go to, a file for each kind of place."""
