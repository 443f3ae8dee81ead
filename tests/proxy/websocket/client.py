# A WebSocket client by `websockets`: PROXY URL ROOT.
import os
import ssl
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

proxy, url, root = sys.argv[1:4]
context = ssl.create_default_context(cafile=root) if url.startswith("wss:") else None
with connect(url, proxy="http://" + proxy, ssl=context, subprotocols=["chat"], max_size=4 << 20) as socket:
    socket.send("hello")
    print("text", socket.recv())
    long = os.urandom(1 << 20)
    socket.send(long)
    print("binary", str(socket.recv() == long).lower())
    print("protocol", socket.subprotocol)
    print("deflate", str("permessage-deflate" in str([e.name for e in socket.protocol.extensions])).lower())
    print("pong tide" if socket.ping("tide").wait(20) else "no pong")
    socket.send("close 4001 bye")
    try:
        socket.recv()
    except ConnectionClosed as closed:
        print("close", closed.rcvd.code, closed.rcvd.reason)
