"""A file system whose files fail as their names say: faulty-mount.py DIRECTORY [dead]

With `dead` it responds to nothing after its start. It implements the kernel's protocol (linux/fuse.h) itself. Each request
without a response is reported on standard output. Held requests are completed after a line on standard input.
"""
import ctypes, os, select, struct, sys, threading

MiB = 1 << 20
FILES = {
    'good': 20 * MiB, 'hangs-lookup': 5, 'hangs-open': 5, 'hangs-read': 20 * MiB, 'hangs-read-small': 9 * MiB,
    'hangs-close': 20 * MiB, 'eio-once': 20 * MiB, 'eio-once-small': 9 * MiB, 'eio': 20 * MiB, 'hangs-list': None,
    'held-read': 60 * MiB,
}
IDS = {name: number for number, name in enumerate(FILES, 2)}
NAMES = {number: name for name, number in IDS.items()}
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR = (
    1, 2, 3, 14, 15, 17, 18, 25, 26, 27, 28, 29)
INTERRUPT, BATCH_FORGET = 36, 42
PARALLEL_DIROPS = 1 << 18
failed = set()
held = []

fd = os.open('/dev/fuse', os.O_RDWR)
options = b'fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other' % fd
if ctypes.CDLL(None).mount(b'faulty', sys.argv[1].encode(), b'fuse.faulty', 0, options):
    sys.exit('mount failed')
print('ready', flush=True)

def attributes(node):
    size = FILES[NAMES[node]] if node in NAMES else None
    mode = 0o40755 if size is None else 0o100644
    return struct.pack('<6Q10I', node, size or 0, 0, 10**9, 10**9, 10**9, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def respond(unique, body=b'', error=0):
    os.write(fd, struct.pack('<IiQ', 16 + len(body), -error, unique) + body)


def entries():
    out = b''
    for number, name in enumerate(['.', '..', *FILES], 1):
        raw = name.encode()
        out += struct.pack('<QQII', number, number, len(raw), 0) + raw + b'\0' * (-len(raw) % 8)
    return out


def release_held():
    for _ in sys.stdin:
        while held:
            respond(*held.pop())


if 'dead' not in sys.argv[2:]:
    threading.Thread(target=release_held, daemon=True).start()
started = False
while True:
    if started and 'dead' in sys.argv[2:]:
        # A signal can still end a request that has not been read.
        select.select([fd], [], [])
        print('hangs dead', flush=True)
        sys.stdin.read()
        sys.exit()
    request = os.read(fd, MiB)
    _, op, unique, node, _, _, _, _ = struct.unpack_from('<IIQQIIII', request)
    body, name = request[40:], NAMES.get(node, '')
    if op == LOOKUP:
        name = body[:-1].decode()
    kind = {LOOKUP: 'lookup', OPEN: 'open', READ: 'read', FLUSH: 'close', READDIR: 'list'}.get(op)
    hangs = kind is not None and name.removesuffix('-small') == f'hangs-{kind}'
    if op == READ:
        offset, size = struct.unpack_from('<8xQI', body)
        hangs = hangs and offset + size > 8 * MiB
    if hangs:
        print('hangs', name, flush=True)
    elif op in (FORGET, BATCH_FORGET, INTERRUPT):
        pass
    elif op == INIT:
        respond(unique, struct.pack('<4I2H2I2H8I', 7, 31, MiB, PARALLEL_DIROPS, 64, 48, 128 << 10, 1, 0, 0, *[0] * 8))
        started = True
    elif op == LOOKUP:
        if name in IDS:
            respond(unique, struct.pack('<4Q2I', IDS[name], 0, 0, 0, 0, 0) + attributes(IDS[name]))
        else:
            respond(unique, error=2)
    elif op == GETATTR:
        respond(unique, struct.pack('<Q2I', 0, 0, 0) + attributes(node))
    elif op in (OPEN, OPENDIR):
        respond(unique, struct.pack('<Q2I', 0, 1, 0))
    elif op == READ:
        fails = name.startswith('eio') and offset + size > 8 * MiB and name not in failed
        if fails and name != 'eio':
            failed.add(name)
        if fails:
            print('fails', name, flush=True)
            respond(unique, error=5)
            continue
        content = (b'0123456789abcdef' * (size // 16 + 1))[: max(0, min(size, FILES[name] - offset))]
        if name == 'held-read' and offset + size > 20 * MiB and name not in failed:
            failed.add(name)
            held.append((unique, content))
            print('holds', name, flush=True)
        else:
            respond(unique, content)
    elif op == READDIR:
        (offset,) = struct.unpack_from('<8xQ', body)
        respond(unique, entries() if offset == 0 else b'')
    elif op == STATFS:
        respond(unique, struct.pack('<5Q4I6I', 0, 0, 0, 0, 0, 4096, 255, 4096, 0, *[0] * 6))
    elif op in (RELEASE, RELEASEDIR, FLUSH):
        respond(unique)
    else:
        respond(unique, error=38)
