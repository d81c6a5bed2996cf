"""Python 3.11 makes a loop for whoever asks for the current one first (pytest-asyncio does), and nobody closes it."""

import asyncio

asyncio.set_event_loop(None)
