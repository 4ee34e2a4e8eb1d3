"""The model that a person names, opened: for every job that uses one.

Enters: settings with a `model`. Leaves: the file's bytes, its tensors and its card.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from jobs.places import StorageSettings
from storage.errors import InvalidInput
from storage.model_file import ModelCard, from_bytes, read_model
from storage.object_store import open_store


class NamesModel(Protocol):
    """Settings of a job: a path, an s3:// uri, or a key below models/ of the store."""

    @property
    def model(self) -> str: ...

    @property
    def storage(self) -> StorageSettings: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenModel:
    """A model file; `data` are its bytes, which travel to workers."""

    name: str
    data: bytes = field(repr=False)
    tensors: Mapping[str, Any] = field(repr=False)
    card: ModelCard


def open_model(settings: NamesModel) -> GivenModel:
    """Reads the model that the settings name.

    Raises:
        InvalidInput: there is no such file.
        StorageError: it cannot be read, or is no model.
    """
    name, endpoint_url = settings.model, settings.storage.endpoint_url
    store = open_store(settings.storage.uri, endpoint_url=endpoint_url)
    data = read_model(name, store=store, endpoint_url=endpoint_url)
    tensors, card = from_bytes(data, name=name)
    return GivenModel(name=name, data=data, tensors=tensors, card=card)


def require_places(settings: Any, names: Sequence[str]) -> None:
    """Refuses settings that leave one of these empty.

    Raises:
        InvalidInput: naming the first.
    """
    for name in names:
        if not getattr(settings, name):
            raise InvalidInput(name, given="", allowed="a place", remedy=f"Give {name}=…; see --help.")
