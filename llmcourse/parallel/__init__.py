"""Several processes, one model: collectives, and the ways of sharing work built of them."""
