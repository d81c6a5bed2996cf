"""The real Kubernetes: its fixtures are for the tests in this directory alone, so that all others need only Python."""

from tests.cluster.apiserver import api
from tests.cluster.speechpools import pools_api

__all__ = ["api", "pools_api"]
