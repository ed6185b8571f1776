"""One family of model a file: a frozen config beside its module."""
