"""Recordings to features at rest: manifest → decode → log-mel → feature store, and the splits drawn over it."""
