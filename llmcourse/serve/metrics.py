"""What the server counts, as Prometheus reads it: requests, tokens, queue, batch, seconds.

Not here: who counts (`engine.py`, `gate.py`).
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The figures of one server; each server has its own, also of several in one process."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "llmcourse_requests", "Requests answered.", ("path", "status"), registry=registry
        )
        self.request_seconds = Histogram(
            "llmcourse_request_seconds", "From a request's head to the end of its answer.",
            ("path",), buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.prompt_tokens = Counter(
            "llmcourse_prompt_tokens", "Tokens read as prompts.", registry=registry
        )
        self.generated_tokens = Counter(
            "llmcourse_generated_tokens", "Tokens written.", registry=registry
        )
        self.finished = Counter(
            "llmcourse_texts", "Texts that ended, and why.", ("reason",), registry=registry
        )
        self.waiting = Gauge(
            "llmcourse_queue_length", "Texts that wait for a place.", registry=registry
        )
        self.running = Gauge(
            "llmcourse_running_texts", "Texts that are being written.", registry=registry
        )
        self.batch_size = Histogram(
            "llmcourse_batch_size", "Texts in one step.", buckets=SIZES, registry=registry
        )
        self.step_seconds = Histogram(
            "llmcourse_step_seconds", "One token for each text in the batch.",
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.first_token_seconds = Histogram(
            "llmcourse_first_token_seconds", "From a text's arrival to its first token.",
            buckets=SECONDS, registry=registry,
        )  # fmt: skip

    def text(self) -> bytes:
        """All figures, in Prometheus' text format."""
        return generate_latest(self.registry)
