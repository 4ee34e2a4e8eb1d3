"""Bytes at rest, local or S3: objects, the feature store, splits, checkpoints and the results table."""
