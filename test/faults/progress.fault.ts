import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, test, type TestContext } from 'node:test';
import { binPath } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

/** 1 Mbit/s. */
const LINE_BYTES_PER_SECOND = 125_000;
const SECONDS = 32;
/** Near the end, a report delayed a second or two by a busy machine would decide the result. */
const NEAR_THE_END_MS = 9000;
/** Percentage of the file sent before the third second begins, plus as much for a late first report. */
const EARLY_PERCENT = 12;

/** Matches the progress bar, e.g. `34%  0/1 parts  0.9 MB of 2.5 MB  124 kB/s  ETA 13 s`. */
const drawn = /(?<percent>\d+)% .*?(?: ETA (?:(?<minutes>\d+) min )?(?<seconds>[\d.]+) s)?$/;

/**
 * A link of 1 Mbit/s whose far end has a receive buffer of 64 KiB, like a distant store whose kernel acknowledges only
 * bytes that the link has carried. Node.js cannot set the size of a receive buffer, and Linux grows that of a
 * TcpFaultProxy: the proxy acknowledges half a megabyte too early.
 *
 * Arguments: the store's port, bytes per second.
 */
const smallBuffers = `
import socket, sys, threading, time
port, rate = int(sys.argv[1]), float(sys.argv[2])
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
server.bind(('127.0.0.1', 0))
server.listen()
print(server.getsockname()[1], flush=True)
def forward(source, target, rate):
    free = 0
    try:
        while data := source.recv(4096):
            free = max(time.monotonic() - 0.5, free) + len(data) / rate
            time.sleep(max(0, free - time.monotonic()))
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
while True:
    client, _ = server.accept()
    store = socket.create_connection(('127.0.0.1', port))
    threading.Thread(target=forward, args=(client, store, rate), daemon=True).start()
    threading.Thread(target=forward, args=(store, client, float('inf')), daemon=True).start()
`;

interface SlowLine extends AsyncDisposable {
  readonly endpoint: string;
}

async function startSlowLine(target: string): Promise<SlowLine> {
  const args = ['-c', smallBuffers, new URL(target).port, String(LINE_BYTES_PER_SECOND)];
  const relay = spawn('python3', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = (await once(createInterface(relay.stdout), 'line')) as [string];
  return {
    endpoint: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      relay.kill();
      if (relay.exitCode === null && relay.signalCode === null) await once(relay, 'exit');
    },
  };
}

/** Pulls the file of agent `till` as an operator on a terminal, and checks the progress bar. */
async function assertHonestBar(t: TestContext, stage: Stage): Promise<void> {
  const frames: { at: number; text: string }[] = [];
  const command = [process.execPath, binPath('backhaul'), 'download', '--client-id', 'till'];
  // Uses a pseudo-terminal, as for a person.
  const cli = spawn('script', ['-qefc', command.join(' '), '/dev/null'], {
    env: {
      PATH: process.env['PATH'],
      TERM: 'xterm',
      BACKHAUL_URL: stage.url,
      BACKHAUL_TOKEN: stage.operatorToken,
    },
    cwd: stage.directory.path,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  cli.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    for (const text of chunk.split('\r\u001b[K')) frames.push({ at: performance.now(), text });
  });
  const [code] = (await once(cli, 'close')) as [number];
  assert.equal(code, 0);

  const bars = frames.flatMap(({ at, text }) => {
    const { percent, minutes = '0', seconds } = drawn.exec(text)?.groups ?? {};
    if (percent === undefined) return [];
    const etaMs = seconds === undefined ? null : (Number(minutes) * 60 + Number(seconds)) * 1000;
    return [{ at, percent: Number(percent), etaMs }];
  });
  const startedAt = bars[0]?.at ?? assert.fail('no bar was drawn');
  const endedAt =
    frames.find(({ text }) => text.includes('complet'))?.at ?? assert.fail('it did not come to its end');
  const moving = bars.find(({ percent, etaMs }) => percent > 0 && etaMs !== null);
  t.diagnostic(
    `progress with a forecast ${Math.round((moving?.at ?? 0) - startedAt)} ms after the first bar, at ${moving?.percent} %; the transfer took ${Math.round(endedAt - startedAt)} ms`,
  );
  // Compares the file's bytes because a busy machine may draw the bar late.
  assert.ok(
    (moving?.percent ?? Infinity) <= EARLY_PERCENT,
    'progress and forecast from the second second on',
  );
  const later = bars.filter(({ at }) => at - startedAt > 10_000 && endedAt - at > NEAR_THE_END_MS);
  assert.ok(later.length > 5, `${later.length} bars`);
  const errors = later
    .map(({ at, etaMs }) => Math.abs((etaMs ?? Infinity) / (endedAt - at) - 1))
    .toSorted((a, b) => a - b);
  const [half, most] = [errors[Math.floor(errors.length / 2)] ?? 1, errors.at(-1) ?? 1];
  const percent = (share: number) => `${Math.round(share * 100)} %`;
  t.diagnostic(
    `after 10 s half of the forecasts are off by ${percent(half)} at most, all by ${percent(most)}`,
  );
  // Not all of them: no forecast knows that a busy machine will stop the programs for seconds.
  assert.ok(half < 0.25);
  assert.ok(
    bars.every(({ percent }, index) => percent >= (bars[index - 1]?.percent ?? 0)),
    'nothing was cut off, so it never goes back',
  );
}

describe('the bar of a small file at 1 Mbit/s', { concurrency: true }, () => {
  test('moves from the second second on, and its forecast holds, by the limit of the agent', async (t) => {
    await using stage = await Stage.start();
    const file = stage.directory.join('small.bin');
    await randomFile(file, SECONDS * LINE_BYTES_PER_SECOND);
    await stage.startAgent('till', ['--file', file, '--max-rate', String(LINE_BYTES_PER_SECOND)]);
    await assertHonestBar(t, stage);
  });

  test('does so over a slow line, whose send queue holds most of the file from the start', async (t) => {
    await using stage = await Stage.start();
    await using line = await startSlowLine(stage.s3.endpoint);
    const file = stage.directory.join('small.bin');
    await randomFile(file, SECONDS * LINE_BYTES_PER_SECOND);
    await stage.restartServer({ env: { S3_PUBLIC_ENDPOINT: line.endpoint } });
    await stage.startAgent('till', ['--file', file, '--allow-storage', line.endpoint]);
    await assertHonestBar(t, stage);
  });
});
