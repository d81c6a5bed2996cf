"""Figures of samples."""

__all__ = ["quantile"]


def quantile(values: list[float], share: float) -> float:
    """The value that `share` of the samples do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
