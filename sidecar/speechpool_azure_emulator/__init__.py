"""An emulator of Azure Speech's WebSocket protocol, for tests and for development without an account."""
