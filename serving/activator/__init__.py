"""The way of a request: held while nobody can take it, then given to a worker."""
