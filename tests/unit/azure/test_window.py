"""Audio that waits between two threads."""

import threading

from speechpool.speech.azure.window import Window

LIMIT_SECONDS = 30


def waiting(window: Window) -> tuple[threading.Thread, threading.Event]:
    done = threading.Event()

    def wait() -> None:
        window.wait()
        done.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread, done


def test_a_reader_waits_while_the_window_is_full() -> None:
    window = Window(100)
    window.put(60)
    window.wait()
    window.put(60)
    thread, done = waiting(window)
    window.take(10)
    assert not done.wait(0.02)
    window.take(30)
    assert done.wait(LIMIT_SECONDS)
    thread.join(LIMIT_SECONDS)


def test_a_closed_window_holds_nobody() -> None:
    window = Window(1)
    window.put(1000)
    thread, done = waiting(window)
    window.close()
    assert done.wait(LIMIT_SECONDS)
    assert window.is_closed
    thread.join(LIMIT_SECONDS)
