"""Where gradients come from: a scalar engine that finds them, and backward passes by hand."""
