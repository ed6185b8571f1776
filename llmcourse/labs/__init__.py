"""Experiments in miniature, for chapters and benchmarks."""
