"""Corpora by name. A source reads a tree as it was published and returns a manifest."""

from pipelines.sources.registry import Source, archive_url, check_tree, find_source, list_sources, read_manifest

__all__ = ["Source", "archive_url", "check_tree", "find_source", "list_sources", "read_manifest"]
