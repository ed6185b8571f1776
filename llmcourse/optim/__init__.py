"""Optimizers, schedules and clipping: written out, and tested against the library's."""
