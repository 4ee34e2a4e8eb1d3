"""What tests of stores ask of any of them."""

from storage.object_store import ObjectStore


def keys_of(store: ObjectStore, prefix: str = "") -> list[str]:
    """The keys that begin with `prefix`, in the order of the listing."""
    return [info.key for info in store.list(prefix)]
