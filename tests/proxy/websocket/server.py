# A WebSocket server by `websockets`: [KEY CERTIFICATE].
import ssl
import sys

from websockets.sync.server import serve


def converse(socket):
    print("asked GET", socket.request.path, flush=True)
    for message in socket:
        if isinstance(message, str) and message.startswith("close "):
            _, code, reason = message.split(" ")
            socket.close(int(code), reason)
            return
        socket.send(message)


context = None
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[1])
with serve(converse, "127.0.0.1", 0, ssl=context, subprotocols=["chat"], max_size=4 << 20) as server:
    print("listening", server.socket.getsockname()[1], flush=True)
    server.serve_forever()
