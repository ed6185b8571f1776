"""Tinytown: a small world with a grammar of its own, whose entropy is known exactly."""
