"""Suites of measurements, and the command that runs them on a trained model."""
