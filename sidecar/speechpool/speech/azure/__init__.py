"""Azure Speech behind the engine protocol: the only package that imports Azure's SDK.

This module imports nothing at its top, so that the name of the engine can be looked up where the SDK is not installed.
"""
