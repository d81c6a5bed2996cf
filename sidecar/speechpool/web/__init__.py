"""The HTTP API: JSON, audio and WebSockets over the Unix socket, and the same over loopback TCP."""
