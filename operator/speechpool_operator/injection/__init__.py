"""The injector: brings a sidecar into the pods that ask for one.

`injecting.inject` decides and is pure; `server` answers the API server with it, `manifests` writes it by hand.
"""
