#!/usr/bin/env python3
"""A bad link for the examples: forwards a port of this machine, and cuts every connection after so many seconds.

    cut.py SECONDS PORT FILE

The port to connect to is written into FILE once somebody listens there.
"""

import asyncio
import sys
from pathlib import Path

CHUNK = 65536


async def pump(reader, writer):
    while piece := await reader.read(CHUNK):
        writer.write(piece)
        await writer.drain()


async def forward(reader, writer, port, seconds):
    """Until one side ends or the time is over; then both ends are gone at once, as with a cable that is pulled and found out."""
    there_reader, there = await asyncio.open_connection("127.0.0.1", port)
    pumps = [asyncio.create_task(pump(reader, there)), asyncio.create_task(pump(there_reader, writer))]
    await asyncio.wait(pumps, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in pumps:
        task.cancel()
    await asyncio.gather(*pumps, return_exceptions=True)
    for end in (writer, there):
        end.transport.abort()


async def main(seconds, port, file):
    server = await asyncio.start_server(lambda reader, writer: forward(reader, writer, port, seconds), "127.0.0.1", 0)
    Path(file).write_text(str(server.sockets[0].getsockname()[1]))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    asyncio.run(main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
