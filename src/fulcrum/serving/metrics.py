"""What an operator watches, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_HELP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ANSWER_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counters of one server; each has its own registry, so that two in a process do not mix."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "fulcrum_requests", "Requests by HTTP status of the answer", ["status"], registry=registry
        )
        self.help = Counter(
            "fulcrum_help", "Chat requests by what became of their help", ["outcome", "arm"], registry=registry
        )
        self.help_seconds = Histogram(
            "fulcrum_help_seconds", "Time that adding help took", buckets=_HELP_SECONDS, registry=registry
        )
        self.batch_size = Histogram(
            "fulcrum_batch_size", "Requests in a batch", buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry
        )
        self.first_byte_seconds = Histogram(
            "fulcrum_first_byte_seconds",
            "Time from a request to the first byte of its answer",
            buckets=_ANSWER_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge("fulcrum_requests_in_flight", "Requests under way", registry=registry)
        self.reloads = Counter("fulcrum_reloads", "Changes of the artifact on disk", ["result"], registry=registry)
        self.log_lost = Counter("fulcrum_log_lost", "Log lines that could not be written", registry=registry)
        self._artifact = Gauge(
            "fulcrum_artifact_info", "The artifact in use", ["digest", "method", "recipe"], registry=registry
        )

    def show_artifact(self, digest: str, method: str, recipe: str) -> None:
        """Say which artifact is in use."""
        self._artifact.clear()
        self._artifact.labels(digest, method, recipe).set(1)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)
