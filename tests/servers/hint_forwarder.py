"""What stands between Orthanc and the replicas of intake (a Service): a program of its own, so that it can be killed.

python hint_forwarder.py PORT TARGET_PORT... : each connection goes to the next target that takes it.
"""

import asyncio
import contextlib
import itertools
import sys


async def main(port: int, targets: list[int]) -> None:
    turns = itertools.cycle(range(len(targets)))

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = next(turns)
        try:
            for target in targets[first:] + targets[:first]:
                with contextlib.suppress(OSError):
                    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", target)
                    await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))
                    return
        finally:
            writer.close()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(forward, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), [int(one) for one in sys.argv[2:]]))
