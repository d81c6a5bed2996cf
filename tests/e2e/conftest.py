"""The real Kubernetes: its fixtures are for the tests in this directory alone, so that all others need only Python."""

from collections.abc import Iterator
from pathlib import PurePath

import pytest
from tests.cluster.apiserver import ApiServer, api, running_api_server
from tests.cluster.node import node
from tests.cluster.operators import control_plane, start_operator
from tests.cluster.speechpools import install_crd, pools_api
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

__all__ = ["api", "control_plane", "node", "pools_api", "start_operator", "stormy_api"]

NODE = "test_node_"


@pytest.fixture(scope="session")
def stormy_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server that knows SpeechPools, for those who kill and freeze it; they leave it running."""
    with running_api_server(tmp_path_factory.mktemp("stormy")) as server:
        install_crd(server)
        yield server


class FilesApart(LoadFileScheduling):
    """A file's tests run on one worker, and those of the node on one too: a machine has one node at a time.

    xdist's own groups cannot say so: it writes them where pytest 9.2 no longer reads.
    """

    def _split_scope(self, nodeid: str) -> str:
        return NODE if _is_for_node(nodeid) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesApart:
    return FilesApart(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The node's tests take longest, so they begin at once (and `make e2e` leaves the order as it is here)."""
    items.sort(key=lambda item: not _is_for_node(item.nodeid))
    for item in items:
        if _is_for_node(item.nodeid):
            item.add_marker(pytest.mark.timeout(600))  # the first one waits for images and for the node
        elif "node" in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(f"{item.nodeid} needs the node: it belongs into a file named {NODE}*.py")


def _is_for_node(nodeid: str) -> bool:
    return PurePath(nodeid.partition("::")[0]).name.startswith(NODE)
