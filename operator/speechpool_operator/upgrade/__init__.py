"""The upgrader: brings the sidecar of running pods to another image, container by container."""
