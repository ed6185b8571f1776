"""Right answers in another style than the solutions', for the guesses to begin from."""
