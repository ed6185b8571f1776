"""Text to ids and back: tokenizers, cleaning, normalising. Imports no torch."""
