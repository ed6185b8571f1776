"""Pretraining tasks: what the model sees, and what it is scored on."""
