"""A tunnel from one place to another, as `ssh -L` makes it: whoever connects here talks to what listens there.

python benchmarks/tunnel.py <from> <to>

A place is `host:port` or the path of a Unix socket. Unix sockets reach across network namespaces, so two of them lead
from this machine to the loopback of another one, and through no open port.
"""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def tunnel(source: str, target: str, *, on_open: Callable[[], None] = lambda: None) -> None:
    """Serves until it is cancelled."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await _open(target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pour(reader, far_writer), _pour(far_reader, writer))

    if "/" in source:
        server = await asyncio.start_unix_server(connected, source)
    else:
        host, _, port = source.rpartition(":")
        server = await asyncio.start_server(connected, host, int(port))
    on_open()
    async with server:
        await server.serve_forever()


def _open(place: str) -> Awaitable[Streams]:
    if "/" in place:
        return asyncio.open_unix_connection(place)
    host, _, port = place.rpartition(":")
    return asyncio.open_connection(host, int(port))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(tunnel(sys.argv[1], sys.argv[2], on_open=lambda: print("open", flush=True)))
