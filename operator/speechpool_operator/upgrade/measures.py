"""What the upgrader tells of itself: metrics, and its state as JSON."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from speechpool_operator.upgrade.planner import Plan, Standing

__all__ = ["Measures"]

_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 180, 300, 600)


class Measures:
    """The numbers, and the last plan."""

    def __init__(self, image: str) -> None:
        self.registry = CollectorRegistry()
        self._image = image
        self._plan = Plan()
        self._stopped = ""
        self.hindered = ""
        """Why the newest attempt changed nothing; empty where it did. The next one may."""
        self.sidecars = Gauge(
            "speechpool_upgrader_sidecars", "Sidecars by what is to be said of them.", ["state"], registry=self.registry
        )
        self.upgrades = Counter(
            "speechpool_upgrader_upgrades",
            "Upgrades by their outcome: back (warm again), failed (not within the bound), refused (by the API server).",
            ["outcome"],
            registry=self.registry,
        )
        self.back_seconds = Histogram(
            "speechpool_upgrader_back_seconds",
            "From the change of the image to warm again.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.stopped = Gauge(
            "speechpool_upgrader_stopped", "1 when upgrades have stopped after a failure.", registry=self.registry
        )
        self.rounds_failed = Counter(
            "speechpool_upgrader_rounds_failed",
            "Looks at the cluster that failed, by what did not answer: the API server or the operator.",
            ["at"],
            registry=self.registry,
        )
        for outcome in ("back", "failed", "refused"):
            self.upgrades.labels(outcome)

    def note(self, plan: Plan) -> None:
        """Note what was planned."""
        self._plan = plan
        for standing in Standing:
            self.sidecars.labels(standing).set(plan.counts[standing])
        for _, seconds in plan.back:
            self.upgrades.labels("back").inc()
            self.back_seconds.observe(seconds)

    def note_stop(self, reason: str) -> None:
        """Note why upgrades have stopped."""
        self._stopped = reason
        self.stopped.set(1)

    def as_json(self) -> dict[str, Any]:
        """What `GET /upgrades` answers."""
        return {
            "image": self._image,
            "stopped": self._stopped or None,
            "hindered": self.hindered or None,
            "sidecars": {str(standing): self._plan.counts[standing] for standing in Standing},
        }
