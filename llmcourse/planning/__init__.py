"""Before a run: what it costs in operations and bytes, and how good it will be."""
