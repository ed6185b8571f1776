"""A server that speaks the API which existing clients know."""
