"""How good is it? Figures with their units and their baselines."""
