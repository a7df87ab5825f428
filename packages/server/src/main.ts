import { journalPrefix, surviveUnwritableOutput, trustSystem } from '@backhaul/program';
import type { Logger } from 'pino';
import { startApp } from './app.ts';
import { BackupError, runBackup } from './operations/backup.ts';
import { ConfigError } from './config/config-error.ts';
import type { Config } from './config/config.ts';
import { loadConfig, logStyle } from './config/load-config.ts';
import { loadBackupConfig } from './config/backup-config.ts';
import { type DevMode, startDevMode } from './dev/dev-mode.ts';
import { BucketError } from './domain/ports/bucket.ts';
import { StoreError } from './domain/ports/store.ts';
import { informationFor } from './help.ts';
import { TlsFilesError } from './http/tls-certificates.ts';
import { createLogger } from './log.ts';
import { setUpBucket } from './s3/setup/bucket-setup.ts';
import { systemClock } from './system-clock.ts';

/** Maximum duration of a drain before the process exits anyway. */
const DRAIN_TIMEOUT_MS = 30_000;

/** Runs `backhaul-server`. Exit codes: 0 stopped by a signal or backup done, 1 fault, 2 a setting must change. */
export async function main(): Promise<void> {
  const argv = process.argv.slice(2);
  surviveUnwritableOutput('backhaul-server');
  const information = informationFor(argv);
  if (information !== undefined) {
    process.stdout.write(information);
    return;
  }
  try {
    await (argv[0] === 'backup' ? backUp(argv.slice(1)) : run(argv));
  } catch (error) {
    process.exitCode = report(error);
  }
}

async function run(argv: readonly string[]): Promise<void> {
  const loaded = loadConfig({ argv, cwd: process.cwd() });
  const isDev = loaded.kind === 'dev';
  // In dev mode standard output is for the user.
  const fileDescriptor = isDev ? 2 : 1;
  const log = createLogger({
    ...{ level: loaded.logLevel, fileDescriptor },
    ...logStyle(loaded.logFormat, fileDescriptor),
  });
  const stopping = new AbortController();
  let onHangUp = (): void => {};
  // Without a listener SIGHUP would end the process. Service managers and admins send it to reload files.
  process.on('SIGHUP', () => {
    log.info({ signal: 'SIGHUP' }, 'reloading TLS certificates');
    onHangUp();
  });
  const stopped = firstSignal(log).then(() => stopping.abort());

  if (loaded.kind === 'dev' && loaded.ignoredHost !== null) {
    log.warn(
      { host: loaded.ignoredHost },
      'HOST is ignored with --dev, which listens on 127.0.0.1; use --host',
    );
  }

  trustSystem();
  await using cleanup = new AsyncDisposableStack();
  let dev: DevMode | undefined;
  let config: Config;
  if (loaded.kind === 'dev') {
    dev = cleanup.use(
      await startDevMode({
        cwd: process.cwd(),
        config: loaded,
        clock: systemClock,
        log,
        signal: stopping.signal,
      }),
    );
    config = dev.config;
  } else {
    config = loaded;
  }
  if (config.setupBucket) await setUp(config, log, stopping.signal);
  if (stopping.signal.aborted) return log.info({}, 'stopped');

  const app = cleanup.use(await startApp(config, log));
  onHangUp = () => app.reload();
  if (dev !== undefined) {
    await dev.writeDevFile(app.url);
    process.stdout.write(welcome(app.url));
  }
  await stopped;
  const deadline = setTimeout(() => {
    log.error({ timeoutMs: DRAIN_TIMEOUT_MS }, 'shutdown timed out');
    process.exit(1);
  }, DRAIN_TIMEOUT_MS);
  await cleanup.disposeAsync();
  clearTimeout(deadline);
  log.info({}, 'stopped');
}

async function backUp(argv: readonly string[]): Promise<void> {
  const config = loadBackupConfig({ argv, cwd: process.cwd() });
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    // Handles repeated signals too: a stopped backup must leave no files behind.
    process.on(signal, () => stopping.abort(new BackupError(`stopped by ${signal}; no backup was written`)));
  }
  await runBackup(config, { signal: stopping.signal });
}

/** The first signal starts a drain; the second ends the process immediately. */
function firstSignal(log: Logger): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let isStopping = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (isStopping) process.exit(1);
      isStopping = true;
      log.info({ signal }, 'stopping');
      resolve();
    });
  }
  return promise;
}

/** A missing bucket is fatal. Any other failed step is logged and the server starts. */
async function setUp({ s3 }: Config, log: Logger, signal: AbortSignal): Promise<void> {
  const onChange = (change: { step: string; undoByHand: string }) =>
    log.info(change, 'changing the bucket; if this process is killed now, undo the change by hand');
  const steps = await setUpBucket(s3, { signal, onChange });
  for (const { name, outcome, detail } of steps) {
    log[outcome === 'failed' ? 'error' : 'info']({ step: name, outcome, detail }, 'bucket set up');
  }
  const fatal = steps.find((step) => step.fatal !== undefined)?.fatal;
  if (fatal !== undefined) throw fatal;
}

/** User mistakes are reported in one sentence; internal faults with their stack. */
function report(error: unknown): number {
  if (error instanceof ConfigError) return fail(error.message, 2);
  if (error instanceof BucketError) return fail(error.message, error.kind === 'unavailable' ? 1 : 2);
  if (error instanceof StoreError) return fail(error.message, 2);
  if (error instanceof TlsFilesError) return fail(error.message, 2);
  if (error instanceof BackupError) return fail(error.message, 1);
  if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
    return fail(
      'The port is already in use. Stop the program that uses it, or choose another port: --port PORT.',
      2,
    );
  }
  if (error instanceof Error && 'code' in error && error.code === 'EACCES') {
    return fail(`${error.message}. Ports below 1024 need privileges; choose another port: --port PORT.`, 2);
  }
  if (error instanceof Error && isAboutHost(error)) {
    return fail(
      `${error.message}. This machine cannot listen on that address: change --host or HOST (127.0.0.1 is this machine only, 0.0.0.0 all its IPv4 addresses; ::1 and :: need IPv6).`,
      2,
    );
  }
  return fail(error instanceof Error ? (error.stack ?? error.message) : String(error), 1);
}

function isAboutHost(error: Error): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return (
    (syscall === 'listen' || syscall === 'getaddrinfo') &&
    ['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'ENOTFOUND', 'EAI_AGAIN', 'EINVAL'].includes(code ?? '')
  );
}

function fail(message: string, exitCode: number): number {
  // The journal stores each line separately.
  const prefix = logStyle('auto', 2).toJournal ? journalPrefix('error') : '';
  const lines = `backhaul-server: ${message}`.split('\n');
  process.stderr.write(`${lines.map((line) => `${prefix}${line}`).join('\n')}\n`);
  return exitCode;
}

function welcome(url: string): string {
  return [
    `Backhaul is ready at ${url} (API: ${url}/docs). All state is in .backhaul/.`,
    'In two other terminals, in this directory:',
    `  npx --no -- backhaul-agent --client-id restaurant-1 --file /path/to/a/file --server-url ${url.replace(/^http/, 'ws')}`,
    '  npx --no -- backhaul download --client-id restaurant-1',
    '',
  ].join('\n');
}
