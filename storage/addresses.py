"""Addresses carry no keys: what settings say is recorded with every result, printed, and seen in lists of processes."""

import re

from storage.errors import InvalidInput

_NAME_AND_KEY = re.compile(r"://[^/?#\s]*@|s3://\S*[?&]\S*=")  # before an @, or signed: s3:// knows no query


def has_credentials(text: str) -> bool:
    """Whether an address in the text has a name or a key in it: s3://key:secret@bucket, s3://bucket/key?X-Amz-…=…."""
    return _NAME_AND_KEY.search(text) is not None


def refuse_credentials(field: str, address: str) -> None:
    """Refuses an address with a name or a key in it; the message does not repeat it.

    Args:
        field: what was given, as the user wrote it.

    Raises:
        InvalidInput: it has one.
    """
    if has_credentials(address):
        raise InvalidInput(
            field,
            given="an address with a name or a key in it",
            allowed="addresses without, as s3://bucket/prefix and https://host:port",
            remedy="Give keys by the environment, ~/.aws or an instance profile. Change a key that was written here.",
        )
