"""A worker that sends every frame back; its arguments choose how it misbehaves instead."""

import os
import signal
import sys
import time

from speechpool.workers.child import Channel, run

_FOR_EVER_SECONDS = 3600


def main(channel: Channel, arguments: list[str]) -> None:
    """Echo, or do what the first argument names."""
    BEHAVIOURS[arguments[0] if arguments else "echo"](channel)


def echo(channel: Channel) -> None:
    channel.ready(b"hello")
    while True:
        channel.send(*channel.receive())


def tell_surroundings(channel: Channel) -> None:
    ignores_ctrl_c = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    told = [*sorted(os.environ), f"group {os.getpgrp() == os.getpid()}", f"SIGINT ignored {ignores_ctrl_c}"]
    channel.ready("\n".join(told).encode())
    channel.receive()


def fail_to_load(channel: Channel) -> None:
    raise ImportError("the model is not there")


def fail_wordily(channel: Channel) -> None:
    print("x" * 1_000_000, file=sys.stderr)


def never_be_ready(channel: Channel) -> None:
    time.sleep(_FOR_EVER_SECONDS)


def be_deaf(channel: Channel) -> None:
    channel.ready()
    time.sleep(_FOR_EVER_SECONDS)


def end(channel: Channel) -> None:
    channel.ready()
    channel.receive()
    os._exit(3)


def babble(channel: Channel) -> None:
    channel.ready()
    channel._connection.sendall(b"\xff" * 64)
    time.sleep(_FOR_EVER_SECONDS)


def complain(channel: Channel) -> None:
    channel.ready()
    for _ in range(100):
        os.write(2, b"a secret sentence" * 1000)
    echo(channel)


BEHAVIOURS = {
    behaviour.__name__: behaviour
    for behaviour in (
        echo,
        tell_surroundings,
        fail_to_load,
        fail_wordily,
        never_be_ready,
        be_deaf,
        end,
        babble,
        complain,
    )
}

run(main)
