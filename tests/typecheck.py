"""The type checker that runs the package's signatures: beartype, with an int accepted for a float."""

from beartype import BeartypeConf, beartype

numeric = beartype(conf=BeartypeConf(is_pep484_tower=True))
