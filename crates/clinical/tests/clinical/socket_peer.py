"""A client of web sockets (PyPI websockets): connects to the first argument, with the token of the second if there is one, says each of the
others, and prints what it hears, a line each; at the end how it was closed."""

import asyncio
import sys

import websockets


async def main(url, token, *says):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with websockets.connect(url, additional_headers=headers, proxy=None) as socket:
            print("connected", flush=True)
            for text in says:
                await socket.send(text.encode() if text.startswith("binary") else text)
            try:
                while True:
                    print(await socket.recv(), flush=True)
            except websockets.ConnectionClosed as closed:
                close = closed.rcvd
                print(f"closed {close.code} {close.reason}" if close else "closed", flush=True)
    except websockets.InvalidStatus as refused:
        print(f"refused {refused.response.status_code}", flush=True)


asyncio.run(main(*sys.argv[1:]))
