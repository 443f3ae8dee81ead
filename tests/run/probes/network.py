# Tries every protocol to every place that a sandbox has no business with, and says how each went.
import errno, socket, struct, sys

def say(name, attempt):
    try:
        print(name, attempt())
    except TimeoutError:
        print(name, 'silence')
    except OSError as error:
        print(name, errno.errorcode.get(error.errno, error))

def made(address, kind, protocol=0):
    one = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, kind, protocol)
    one.settimeout(patience)
    return one

# Sends, and gives what came back to the end; b'' where the connection ended without a byte.
def stream(address, port, data):
    with made(address, socket.SOCK_STREAM) as one:
        one.connect(socket.getaddrinfo(address, port)[0][4])
        one.sendall(data)
        answer = b''
        while more := one.recv(65536):
            answer += more
        return answer

def http(address, port):
    host = address.split('%')[0]
    host = f'[{host}]' if ':' in host else host
    answer = stream(address, port, f'GET / HTTP/1.1\r\nHost: {host}\r\n\r\n'.encode()).decode()
    reason = [line for line in answer.split('\r\n') if line.startswith('x-deny-reason')]
    return ' '.join([answer.split('\r\n')[0], *reason])

# TLS that is none: an alert comes back, or nothing.
def secret(address, port):
    return stream(address, port, b'\x16\x03\x01\x00\x05hello').hex()

# A protocol in which nobody is known.
def other(address, port):
    return stream(address, port, b'\0\0\0\x08\x04\xd2\x16\x2f').hex() or 'closed'

# A query of one name's address, and the code of the answer.
query = struct.pack('>6H', 7, 0x100, 1, 0, 0, 0) + b'\x06secret\x04evil\x04test\0' + struct.pack('>2H', 1, 1)
def over_udp(address, port):
    with made(address, socket.SOCK_DGRAM) as one:
        one.sendto(query, (address, port))
        return 'rcode %d' % (one.recv(512)[3] & 15)
def over_tcp(address, port):
    with made(address, socket.SOCK_STREAM) as one:
        one.connect(socket.getaddrinfo(address, port)[0][4])
        one.sendall(struct.pack('>H', len(query)) + query)
        return 'rcode %d' % (one.recv(512)[5] & 15)

def datagram(address, port, kind=socket.SOCK_DGRAM, protocol=0):
    with made(address, kind, protocol) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        one.sendto(b'\x08\0\xf7\xff\0\0\0\0', (address, port))
        return 'sent'

def multipath():
    with made('1.1.1.1', socket.SOCK_STREAM, 262) as one:
        one.connect(('1.1.1.1', 443))
        one.sendall(b'\x16\x03\x01\x00\x05hello')
        return one.recv(16).hex()

# The first segment carries data: it would be on its way before the connection stands.
def fast_open():
    with made('1.1.1.1', socket.SOCK_STREAM) as one:
        one.sendto(b'\x16\x03\x01\x00\x05hello', 0x20000000, ('1.1.1.1', 443))
        return one.recv(16).hex()

def bound_to(address):
    with made(address, socket.SOCK_STREAM) as one:
        one.setsockopt(socket.SOL_IP, 15, 1) # IP_FREEBIND
        one.bind((address, 0))
        one.connect(('1.1.1.1', 443))
        one.sendall(b'\x16\x03\x01\x00\x05hello')
        return one.recv(16).hex()

patience = float(sys.argv[1])
for address in sys.argv[2:]:
    say(f'{address} http', lambda: http(address, 80))
    say(f'{address} tls 443', lambda: secret(address, 443))
    say(f'{address} tls 853', lambda: secret(address, 853))
    say(f'{address} other 6379', lambda: other(address, 6379))
    say(f'{address} udp 53', lambda: over_udp(address, 53))
    say(f'{address} tcp 53', lambda: over_tcp(address, 53))
    say(f'{address} udp 443', lambda: datagram(address, 443))
    say(f'{address} udp 123', lambda: datagram(address, 123))
    say(f'{address} icmp', lambda: datagram(address, 0, socket.SOCK_DGRAM, 58 if ':' in address else 1))
    say(f'{address} raw', lambda: datagram(address, 0, socket.SOCK_RAW, 58 if ':' in address else 1))
say('sctp', lambda: made('1.1.1.1', socket.SOCK_STREAM, 132).connect(('1.1.1.1', 80)))
say('udp-lite', lambda: datagram('1.1.1.1', 443, socket.SOCK_DGRAM, 136))
say('broadcast', lambda: datagram('255.255.255.255', 67))
say('multicast', lambda: datagram('224.0.0.251', 5353))
say('packet', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x300))
say('multipath', multipath)
say('fast open', fast_open)
say('foreign source', lambda: bound_to('192.0.2.7'))
