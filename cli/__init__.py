"""The `ddoq` command: the embedded stack, the algorithm without a service, and the HTTP client."""
