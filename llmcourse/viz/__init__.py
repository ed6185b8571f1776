"""Data in, axes out; a widget is a thin shell that calls a plot."""
