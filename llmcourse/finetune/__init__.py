"""Adapting a trained model to a task: heads, what may move, examples with labels, the command."""
