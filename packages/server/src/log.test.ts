import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

/** Eight times the capacity of a pipe, in lines of 1 KiB. */
const LINES = 512;

const program = `
  import { createLogger } from ${JSON.stringify(new URL('log.ts', import.meta.url))};
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

test('secrets are redacted at every depth, in errors, serialized objects and child bindings', () => {
  const stdout = linesOf(
    { format: 'json', toJournal: false },
    `const headers = { Authorization: 'hush' };
    const inner = Object.assign(new Error('inner'), { request: { options: { headers } } });
    const child = log.child({ token: 'hush', options: { token: 'hush' } });
    child.warn({ password: 'hush', at: new Date(0), deep: { list: [[{ options: { headers, cookie: 'hush' } }]] } }, 'refused');
    child.error({ err: Object.assign(new AggregateError([inner], 'no'), { token: 'hush', inner }) }, 'failed');
    child.warn({ of: { json: { toJSON: () => ({ secret: 'hush' }) } } }, 'refused');
    const circle = { token: 'hush' };
    child.warn({ circle: Object.assign(circle, { circle }) }, 'refused');
    child.warn({ text: '"token":' }, 'refused');`,
  );
  assert.doesNotMatch(stdout, /hush/);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const [refused, failed, json, , text] = lines;
  const censored = '[redacted]';
  assert.equal(lines.length, 5);
  assert.deepEqual([refused?.['token'], refused?.['options']], [censored, { token: censored }]);
  assert.deepEqual([refused?.['password'], refused?.['at']], [censored, '1970-01-01T00:00:00.000Z']);
  const headers = { Authorization: censored };
  assert.deepEqual(refused?.['deep'], { list: [[{ options: { headers, cookie: censored } }]] });
  const { message, token, inner } = Object(failed?.['err']) as Record<string, unknown>;
  assert.deepEqual([message, token], ['no', censored]);
  assert.deepEqual((inner as { request: unknown }).request, { options: { headers } });
  assert.deepEqual(json?.['of'], { json: { secret: censored } });
  assert.equal(text?.['text'], '"token":');
});

test('an object is written as it serializes itself, and a serializer gets it unchanged', () => {
  const stdout = linesOf(
    { format: 'json', toJournal: false },
    `class Shown { list = [1]; token = 'hush'; other = 'hush'; toJSON() { return { shown: 1 }; } }
    log.warn({ object: new Shown() }, 'refused');
    class Request { query = { token: 'hush' }; get method() { return 'GET'; } get url() { return '/a?token=hush'; } }
    log.warn({ req: new Request() }, 'refused');
    log.warn({ object: { get broken() { throw new Error('broken'); } } }, 'refused');`,
  );
  const [object, request, broken] = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(object?.['object'], { shown: 1 });
  assert.deepEqual(request?.['req'], { method: 'GET', path: '/a' });
  assert.equal(broken?.['msg'], 'refused');
});

test('a line contains no terminal control characters and still parses to the same value', () => {
  const hostile = 'a\n\u001b[2J\u009b2J\u202eb\u200f\u061c\u2028\ufeff';
  const logged = `
    import { createLogger } from ${JSON.stringify(new URL('log.ts', import.meta.url))};
    createLogger({ level: 'info', fileDescriptor: 1, format: 'json', toJournal: false }).warn({ path: process.argv[1] }, 'refused ' + process.argv[1]);`;
  const options = { encoding: 'utf8' } as const;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', logged, hostile], options);
  assert.match(stdout.trimEnd(), /^[\x20-\x7e]+$/);
  const line = JSON.parse(stdout) as { path: string; msg: string };
  assert.deepEqual([line.path, line.msg], [hostile, `refused ${hostile}`]);
});

function linesOf(options: object, log: string): string {
  const program = `
    import { createLogger } from ${JSON.stringify(new URL('log.ts', import.meta.url))};
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
