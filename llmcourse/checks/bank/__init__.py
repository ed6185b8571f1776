"""The exercises' checks: a file of cases and catalogued mistakes for each topic."""
