"""Clients of the speech engines; knows nothing of HTTP and nothing of pools."""
