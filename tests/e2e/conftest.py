"""The real Kubernetes: its fixtures are for the tests in this directory alone, so that all others need only Python."""

from collections.abc import Iterator

import pytest
from tests.cluster.apiserver import ApiServer, api, running_api_server
from tests.cluster.node import node
from tests.cluster.operators import control_plane, start_operator
from tests.cluster.speechpools import install_crd, pools_api

__all__ = ["api", "control_plane", "node", "pools_api", "start_operator", "stormy_api"]


@pytest.fixture(scope="session")
def stormy_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server that knows SpeechPools, for those who kill and freeze it; they leave it running."""
    with running_api_server(tmp_path_factory.mktemp("stormy")) as server:
        install_crd(server)
        yield server


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests on one worker, and all that need the node on one: there is only one of it.

    That one takes longest, so it begins at once (and `make e2e` leaves the order as it is here).
    """
    items.sort(key=lambda item: not _needs_node(item))
    for item in items:
        needs_node = _needs_node(item)
        item.add_marker(pytest.mark.xdist_group("node" if needs_node else item.nodeid.partition("::")[0]))
        if needs_node:
            item.add_marker(pytest.mark.timeout(600))  # the first one waits for images and for the node


def _needs_node(item: pytest.Item) -> bool:
    return "node" in getattr(item, "fixturenames", ())
