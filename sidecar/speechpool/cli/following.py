"""How the sidecar follows its operator: where it is, and what it is told of the sidecar."""

from importlib import metadata

from speechpool.config import ConfigStore
from speechpool.config.operator_connection import Place
from speechpool.config.operator_source import Usage
from speechpool.config.operator_stream import OperatorStream
from speechpool.service.service import SpeechService
from speechpool.settings.wire import PoolState

__all__ = ["make_stream"]


def make_stream(store: ConfigStore, service: SpeechService) -> OperatorStream | None:
    """What follows the operator; None where the settings name none.

    Args:
        store: The settings in force.
        service: Of which the operator is told; opened before the stream runs.
    """
    settings = store.current
    if settings.operator is None:
        return None
    place = Place(address=settings.operator, ca_file=settings.operator_ca_file, token_file=settings.operator_token_file)
    stream = OperatorStream(
        store,
        place,
        usage=lambda: _usage(service),
        version=metadata.version("speechpool"),
        state_directory=settings.state_directory,
    )
    stream.register(service.metrics.registry)
    return stream


def _usage(service: SpeechService) -> Usage:
    return Usage(pools=_pools(service), sessions=len(service.sessions), busy=service.active)


def _pools(service: SpeechService) -> dict[str, PoolState]:
    return {
        name: PoolState(
            warm=facts["warm_pool_size"],
            wanted=facts["warm_pool_target"],
            ready=facts["ready"] and not facts["replacing"],
        )
        for name, facts in service.pools().items()
    }
