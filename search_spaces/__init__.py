"""What may vary, one file per architecture."""

from search_spaces.space import SearchSpace, get_space, list_spaces

__all__ = ["SearchSpace", "get_space", "list_spaces"]
