import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { BackhaulClient } from '@backhaul/client';
import { TcpFaultProxy } from '../test/faults/injection/tcp/tcp-fault-proxy.ts';
import { Program, binPath, logged } from '../test/harness/program.ts';
import { randomFile } from '../test/harness/random-file.ts';
import { temporaryDirectory } from '../test/harness/temporary-directory.ts';
import { TokenSigner } from '../test/harness/tokens.ts';
import { mostAtOnce, readAccessLog } from '../test/harness/access-log.ts';
import { type DemoOptions, help, parseDemoOptions } from './options.ts';
import { describeNext, describeOutcome } from './report.ts';

const MIB = 1024 * 1024;
const CLIENT_ID = 'restaurant-1';
const BUCKET = 'backhaul-demo';

/** Everything it starts is closed in reverse order when it returns or throws. */
async function demo(options: DemoOptions, signal: AbortSignal): Promise<void> {
  await using cleanup = new AsyncDisposableStack();
  const directory = cleanup.use(await temporaryDirectory());
  const source = options.file ?? directory.join('report.bin');
  if (options.file === undefined) {
    say(`Making 100 MiB of random bytes in ${directory.path}`);
    await randomFile(source, 100 * MIB, randomBytes(16).toString('hex'));
  }
  signal.throwIfAborted();

  say('Starting object store, server and agent, each a process of its own');
  const keys = { id: 'DEMO', secret: randomBytes(20).toString('hex') };
  const accessLog = directory.join('store-access.log');
  const store = cleanup.use(
    new Program('backhaul-object-store', {
      args: [
        '--port',
        '0',
        '--data',
        directory.join('objects'),
        '--bucket',
        BUCKET,
        '--access-log',
        accessLog,
      ],
      env: { BACKHAUL_STORE_ACCESS_KEY: keys.id, BACKHAUL_STORE_SECRET_KEY: keys.secret },
    }),
  );
  const storeUrl = new URL(String((await store.line(logged('listening')))['url']));
  // The proxy counts the server's traffic to the store; agents and operators connect directly.
  const storeProxy = cleanup.use(await TcpFaultProxy.start({ target: storeUrl.origin }));

  const tokens = new TokenSigner(randomBytes(32).toString('hex'));
  const server = cleanup.use(
    new Program('backhaul-server', {
      args: ['--host', '127.0.0.1', '--port', '0'],
      env: {
        AWS_ACCESS_KEY_ID: keys.id,
        AWS_SECRET_ACCESS_KEY: keys.secret,
        AWS_REGION: 'us-east-1',
        S3_BUCKET_NAME: BUCKET,
        S3_ENDPOINT: storeProxy.endpoint,
        S3_PUBLIC_ENDPOINT: storeUrl.origin,
        S3_FORCE_PATH_STYLE: 'true',
        JWT_SECRET: tokens.secret,
        DATABASE_URL: `sqlite:${directory.join('backhaul.sqlite')}`,
      },
      cwd: directory.path,
    }),
  );
  const serverUrl = new URL(String((await server.line(logged('listening')))['url']));
  const serverProxy = cleanup.use(await TcpFaultProxy.start({ target: serverUrl.origin }));
  const url = serverProxy.endpoint;

  const agent = cleanup.use(
    new Program('backhaul-agent', {
      args: [
        '--client-id',
        CLIENT_ID,
        '--file',
        source,
        '--server-url',
        url.replace('http', 'ws'),
        '--log-format',
        'json',
      ],
      env: { BACKHAUL_TOKEN: await tokens.agent(CLIENT_ID) },
      cwd: directory.path,
    }),
  );
  await agent.line(logged('connected'));
  signal.throwIfAborted();

  const operatorToken = await tokens.operator();
  const result = path.join(directory.path, `result-${path.basename(source)}`);
  say(`npx backhaul download --client-id ${CLIENT_ID} --output ${result}`);
  const startedAt = performance.now();
  const bytesBefore = serverProxy.bytes + storeProxy.bytes;
  await download({ url, token: operatorToken, output: result, signal });
  const seconds = (performance.now() - startedAt) / 1000;
  const serverBytes = serverProxy.bytes + storeProxy.bytes - bytesBefore;

  const client = new BackhaulClient({ url, token: operatorToken });
  const record = (await client.getStatus(CLIENT_ID)).last_upload;
  if (record === null) throw new Error('the server knows of no upload');
  const [sourceSha256, resultSha256] = await Promise.all([sha256Of(source), sha256Of(result)]);
  if (sourceSha256 !== resultSha256) {
    throw new Error(`the copy differs: source ${sourceSha256}, result ${resultSha256}`);
  }
  const puts = (await readAccessLog(accessLog)).filter((entry) => entry.operation === 'UploadPart');
  const outcome = {
    record,
    sourceSha256,
    resultSha256,
    resultPath: result,
    seconds,
    serverBytes,
    parallelPuts: mostAtOnce(puts),
    keep: options.keep,
  };
  say(describeOutcome(outcome));
  say(
    describeNext(options.keep ? { url, token: operatorToken, clientId: CLIENT_ID, file: source } : undefined),
  );
  if (options.keep && !signal.aborted) await once(signal, 'abort');
}

/** Runs the operator's real command, with its progress bar on this terminal. */
async function download(request: {
  url: string;
  token: string;
  output: string;
  signal: AbortSignal;
}): Promise<void> {
  const child = spawn(
    process.execPath,
    [binPath('backhaul'), 'download', '--client-id', CLIENT_ID, '--output', request.output],
    {
      stdio: 'inherit',
      env: {
        ...process.env,
        BACKHAUL_URL: request.url,
        BACKHAUL_TOKEN: request.token,
        // The demo leaves no files, including caches.
        NODE_DISABLE_COMPILE_CACHE: '1',
      },
    },
  );
  const stop = (): void => {
    child.kill('SIGTERM');
  };
  request.signal.addEventListener('abort', stop);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    request.signal.throwIfAborted();
    if (code !== 0) throw new Error(`the command line ended with exit code ${code}`);
  } finally {
    request.signal.removeEventListener('abort', stop);
  }
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function main(): Promise<void> {
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => stopping.abort(new Interrupted(name)));
  }
  try {
    // npm runs scripts in the package's root; INIT_CWD is the user's directory.
    const options = parseDemoOptions(process.argv.slice(2), process.env['INIT_CWD'] ?? process.cwd());
    if (options === undefined) say(help);
    else await demo(options, stopping.signal);
  } catch (error) {
    if (error instanceof Interrupted) process.exitCode = 130;
    else {
      process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    }
  }
}

class Interrupted extends Error {}

await main();
