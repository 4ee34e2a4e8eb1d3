"""A data set in shards: planned, computed by isolated processes, counted."""
