import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Calls renameat2(2) with RENAME_EXCHANGE: both names always exist. */
const exchange = `
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
one, other = (name.encode() for name in sys.argv[1:3])
swap = lambda: libc.renameat2(-100, one, -100, other, 2)
if swap() != 0: sys.exit(3)
print("swapping", flush=True)
while True:
    for _ in range(1000): swap()
`;

/** Fallback for machines without Python or that call. */
const threeRenames = `
const { renameSync } = require('node:fs');
const [one, other] = process.argv.slice(1);
console.log('swapping');
for (;;) {
  renameSync(one, one + '.tmp');
  renameSync(other, one);
  renameSync(one + '.tmp', other);
}
`;

/** Starts a process that swaps two names of the file system as fast as it can. */
export async function startSwapper(one: string, other: string): Promise<{ kind: string } & AsyncDisposable> {
  for (const [kind, command, source, flag] of [
    ['RENAME_EXCHANGE', 'python3', exchange, '-c'],
    ['three renames', process.execPath, threeRenames, '--eval'],
  ] as const) {
    const child = spawn(command, [flag, source, one, other], { stdio: ['ignore', 'pipe', 'ignore'] });
    const ended = once(child, 'close').catch(() => {});
    const started = await Promise.race([
      once(child.stdout, 'data').then(() => true),
      ended.then(() => false),
    ]);
    if (!started) continue;
    return {
      kind,
      async [Symbol.asyncDispose]() {
        child.kill('SIGKILL');
        await ended;
      },
    };
  }
  throw new Error('neither python3 nor Node.js swaps names here');
}
