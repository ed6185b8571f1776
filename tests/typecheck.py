"""What runs the package's signatures in tests: beartype, with an int accepted for a float."""

from beartype import BeartypeConf, beartype

numeric = beartype(conf=BeartypeConf(is_pep484_tower=True))
