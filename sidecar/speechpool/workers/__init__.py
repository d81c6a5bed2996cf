"""Python child processes that talk to the event loop in frames over a socket pair; knows nothing of speech or audio."""
