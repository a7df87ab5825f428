import type { Logger } from 'pino';
import { startApp } from './app.ts';
import { runBackup } from './backup/backup-command.ts';
import { BackupError } from './backup/backup-error.ts';
import { type Config, ConfigError, loadConfig } from './config.ts';
import { loadBackupConfig } from './config/backup-config.ts';
import { type DevMode, startDevMode } from './dev/dev-mode.ts';
import { BucketError } from './domain/ports/bucket.ts';
import { StoreError } from './domain/ports/store.ts';
import { informationFor } from './help.ts';
import { createLogger } from './logger.ts';
import { setUpBucket } from './s3/bucket-setup.ts';

/** How long a drain may take before the process ends anyway. */
const DRAIN_TIMEOUT_MS = 30_000;

/** Runs `backhaul-server`. Exit codes: 0 stopped by a signal or backup done, 1 fault, 2 a setting must change. */
export async function main(): Promise<void> {
  const argv = process.argv.slice(2);
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
  // In dev mode standard output is for a person.
  const log = createLogger({ level: loaded.logLevel, fileDescriptor: isDev ? 2 : 1 });
  const stopping = new AbortController();
  const stopped = firstSignal(log).then(() => stopping.abort());

  await using cleanup = new AsyncDisposableStack();
  let dev: DevMode | undefined;
  let config: Config;
  if (loaded.kind === 'dev') {
    dev = cleanup.use(
      await startDevMode({
        cwd: process.cwd(),
        config: loaded,
        clock: { now: () => Date.now() },
        log,
        signal: stopping.signal,
      }),
    );
    config = dev.config;
  } else {
    config = loaded;
  }
  if (config.setupBucket) await reportSetup(config, log);

  const app = cleanup.use(await startApp(config, log));
  if (dev !== undefined) {
    await dev.writeDevFile(app.url);
    process.stdout.write(welcome(app.url));
  }
  await stopped;
  const deadline = setTimeout(() => {
    log.error({ timeoutMs: DRAIN_TIMEOUT_MS }, 'shutdown took too long');
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
    // However often it comes: nothing of the backup may be left behind.
    process.on(signal, () => stopping.abort(new BackupError(`stopped by ${signal}; there is no backup`)));
  }
  await runBackup(config, { signal: stopping.signal });
}

/** The first signal begins a drain; the second ends the process at once. */
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

async function reportSetup(config: Config, log: Logger): Promise<void> {
  const steps = await setUpBucket(config.s3);
  for (const { name, outcome, detail } of steps) {
    log[outcome === 'failed' ? 'error' : 'info']({ step: name, outcome, detail }, 'bucket set up');
  }
  const failed = steps.filter(({ outcome }) => outcome === 'failed');
  if (failed.length > 0) {
    throw new BucketError(
      'refused',
      `--setup-bucket could not finish: ${failed.map(({ name, detail }) => `${name}: ${detail}`).join('; ')}`,
    );
  }
}

/** A user's mistake is told in a sentence; a fault of ours comes with its stack. */
function report(error: unknown): number {
  if (error instanceof ConfigError) return fail(error.message, 2);
  if (error instanceof BucketError) return fail(error.message, error.kind === 'unavailable' ? 1 : 2);
  if (error instanceof StoreError) return fail(error.message, 2);
  if (error instanceof BackupError) return fail(error.message, 1);
  if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
    return fail('The port is already in use. Stop what uses it, or give another: --port PORT.', 2);
  }
  if (error instanceof Error && 'code' in error && error.code === 'EACCES') {
    return fail(`${error.message}. Ports below 1024 need rights; give another: --port PORT.`, 2);
  }
  return fail(error instanceof Error ? (error.stack ?? error.message) : String(error), 1);
}

function fail(message: string, exitCode: number): number {
  process.stderr.write(`backhaul-server: ${message}\n`);
  return exitCode;
}

function welcome(url: string): string {
  return [
    `Backhaul is ready at ${url} (API: ${url}/docs). All state is in .backhaul/.`,
    'In two other terminals, in this directory:',
    `  npx backhaul-agent --client-id restaurant-1 --file /path/to/a/file --server-url ${url.replace(/^http/, 'ws')}`,
    '  npx backhaul download --client-id restaurant-1',
    '',
  ].join('\n');
}
