"""FFmpeg as PyAV brings it, told to start no threads of its own; only in the codec processes."""

import ctypes

from av import _core

__all__ = ["forgo_threads"]


def forgo_threads() -> None:
    """Let FFmpeg believe that there is one processor, for the rest of this process.

    PyAV sends every frame through a filter graph, and FFmpeg gives each graph up to 16 threads that audio never uses:
    fifty streams would hold hundreds, more than a container's limit on processes may allow, and a stream would begin
    20 ms later (measured). PyAV has no setting for it; `av_cpu_force_count` is FFmpeg's own (libavutil/cpu.h).
    """
    # Looked up through PyAV's module: the very library that it is linked with, wherever that lies.
    ctypes.CDLL(_core.__file__).av_cpu_force_count(1)
