"""Corpora by name. A source reads a tree as it was published and returns a manifest."""

from pipelines.sources.registry import list_sources, read_manifest

__all__ = ["list_sources", "read_manifest"]
