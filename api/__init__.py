"""The HTTP front: parse, call `jobs`, shape the answer."""
