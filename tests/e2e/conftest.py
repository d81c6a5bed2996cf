"""The real Kubernetes: its fixtures are for the tests in this directory alone, so that all others need only Python."""

from tests.cluster.apiserver import api
from tests.cluster.operators import control_plane, start_operator
from tests.cluster.speechpools import pools_api

__all__ = ["api", "control_plane", "pools_api", "start_operator"]
