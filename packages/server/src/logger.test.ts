import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

/** Eight times the capacity of a pipe, in lines of 1 KiB. */
const LINES = 512;

const program = `
  import { createLogger } from ${JSON.stringify(new URL('logger.ts', import.meta.url))};
  const log = createLogger({ level: 'info', fileDescriptor: 1, format: 'json', toJournal: false });
  for (let line = 1; line <= ${LINES}; line += 1) log.info({ line, token: 'secret' }, 'x'.repeat(1024));
  process.stderr.write('all logged\\n');
`;

test('a logger never blocks on its reader and writes no secret', { timeout: 30_000 }, async ({ signal }) => {
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
});

test('secrets are redacted down to two levels below a field, in errors and in child bindings', () => {
  const stdout = linesOf(
    { format: 'json', toJournal: false },
    `const headers = { authorization: 'hush' };
    const child = log.child({ token: 'hush' });
    child.warn({ password: 'hush', options: { headers, cookie: 'hush' }, list: [{ secret: 'hush' }], at: new Date(0) }, 'refused');
    child.error({ err: Object.assign(new Error('no'), { token: 'hush', request: headers }) }, 'failed');`,
  );
  assert.doesNotMatch(stdout, /hush/);
  const [refused, failed] = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const censored = '[redacted]';
  assert.deepEqual([refused?.['token'], refused?.['password']], [censored, censored]);
  assert.deepEqual(refused?.['options'], { headers: { authorization: censored }, cookie: censored });
  assert.deepEqual(refused?.['list'], [{ secret: censored }]);
  assert.equal(refused?.['at'], '1970-01-01T00:00:00.000Z');
  const { message, token, request } = Object(failed?.['err']) as Record<string, unknown>;
  assert.deepEqual([message, token, request], ['no', censored, { authorization: censored }]);
});

test('a line contains no terminal control characters and still parses to the same value', () => {
  const hostile = 'a\n\u001b[2J\u009b2J\u202eb\u200f\u061c\u2028\ufeff';
  const logged = `
    import { createLogger } from ${JSON.stringify(new URL('logger.ts', import.meta.url))};
    createLogger({ level: 'info', fileDescriptor: 1, format: 'json', toJournal: false }).warn({ path: process.argv[1] }, 'refused ' + process.argv[1]);`;
  const options = { encoding: 'utf8' } as const;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', logged, hostile], options);
  assert.match(stdout.trimEnd(), /^[\x20-\x7e]+$/);
  const line = JSON.parse(stdout) as { path: string; msg: string };
  assert.deepEqual([line.path, line.msg], [hostile, `refused ${hostile}`]);
});

function linesOf(options: object, log: string): string {
  const program = `
    import { createLogger } from ${JSON.stringify(new URL('logger.ts', import.meta.url))};
    const log = createLogger(${JSON.stringify({ level: 'info', fileDescriptor: 1, ...options })});
    ${log}`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
  });
  assert.equal(stderr, '');
  return stdout;
}

test('lines have the common schema: named level, time, fields in snake_case', () => {
  const stdout = linesOf(
    { format: 'json', toJournal: false },
    "log.child({ client_id: 'till-7' }).warn({ uploadId: 'u', err: new TypeError('no') }, 'refused');",
  );
  const { time, err, ...rest } = JSON.parse(stdout) as Record<string, unknown> & { err: object };
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, { level: 'warn', client_id: 'till-7', upload_id: 'u', msg: 'refused' });
  assert.deepEqual(Object.keys(err), ['name', 'message', 'stack']);
});

test('journal lines start with their priority; terminal lines are plain text', () => {
  const both = "log.error({ uploadId: 'u' }, 'failed'); log.info('went on');";
  const toJournal = linesOf({ format: 'json', toJournal: true }, both).split('\n');
  assert.match(toJournal[0] ?? '', /^<3>\{"level":"error"/);
  assert.match(toJournal[1] ?? '', /^<6>\{"level":"info"/);
  const human = linesOf({ format: 'human', toJournal: false }, both);
  assert.match(human, /^\d\d:\d\d:\d\d error failed upload_id=u\n\d\d:\d\d:\d\d info  went on\n$/);
});
