import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

/** Eight times what a pipe holds, in lines of a KiB. */
const LINES = 512;

const program = `
  import { createLogger } from ${JSON.stringify(new URL('logger.ts', import.meta.url))};
  const log = createLogger({ level: 'info', fileDescriptor: 1 });
  for (let line = 1; line <= ${LINES}; line += 1) log.info({ line, token: 'secret' }, 'x'.repeat(1024));
  process.stderr.write('all logged\\n');
`;

test(
  'a logger waits for nobody who reads it, and writes no secret',
  { timeout: 30_000 },
  async ({ signal }) => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
      killSignal: 'SIGKILL',
    });
    child.on('error', () => undefined);
    assert.match(String(await once(child.stderr, 'data')), /all logged/);
    const lines = (await text(child.stdout)).trimEnd().split('\n');
    assert.equal(lines.length, LINES);
    assert.doesNotMatch(lines.join(''), /secret/);
  },
);
