"""The real Kubernetes: its fixtures are for the tests in this directory alone, so that all others need only Python."""

from collections.abc import Sequence

import pytest
from tests.cluster.apiserver import api
from tests.cluster.node import node
from tests.cluster.operators import control_plane, start_operator
from tests.cluster.speechpools import pools_api

__all__ = ["api", "control_plane", "node", "pools_api", "start_operator"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Keep a file's tests on one worker, and all that need the node on one: there is only one of it."""
    for item in items:
        needs_node = "node" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("node" if needs_node else item.nodeid.partition("::")[0]))
        if needs_node:
            item.add_marker(pytest.mark.timeout(600))  # the first one waits for images and for the node
