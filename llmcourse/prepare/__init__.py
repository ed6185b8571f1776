"""From any text to what a training run reads: `python -m llmcourse.prepare`."""
