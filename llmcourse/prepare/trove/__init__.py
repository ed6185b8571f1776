"""Preparing text on many machines: the steps of `prepare` as blocks of the `datatrove` library."""
