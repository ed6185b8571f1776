"""Cleaning a corpus: what is repaired, masked, dropped, and kept once."""
