#!/usr/bin/env python3
"""Writes into mapped files, because Node.js maps none. Reads commands, one a line, and answers each with "done".

map PATH            from now on this file; each page that holds a mark is touched
write OFFSET VALUE  eight bytes, at once
"""
import mmap
import struct
import sys

STRIDE = int(sys.argv[1])
memory = None
print('ready', flush=True)
for line in sys.stdin:
    command, *arguments = line.split(' ', 1)
    if command == 'map':
        if memory is not None:
            memory.close()
        with open(arguments[0].rstrip('\n'), 'r+b') as file:
            memory = mmap.mmap(file.fileno(), 0)
        touched = [memory[at] for at in range(0, len(memory), STRIDE)]
    else:
        offset, value = map(int, arguments[0].split())
        struct.pack_into('Q', memory, offset, value)
    print('done', flush=True)
