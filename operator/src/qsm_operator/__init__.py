"""Watches QSMJob resources and runs reconstructions."""
