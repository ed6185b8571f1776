"""The capstone: `python -m llmcourse.train`."""
