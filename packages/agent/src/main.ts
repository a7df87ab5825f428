import {
  AuthorityFileError,
  FileWatch,
  journalPrefix,
  surviveUnwritableOutput,
  trustAuthorities,
} from '@backhaul/program';
import { AgentApp } from './app.ts';
import { type AgentConfig, readOwnConfig, writesToJournal } from './config.ts';
import { UsageError } from './flags.ts';
import { createLog, limitedWrite, type Log } from './log.ts';

/** Maximum time to stop. Closing usually takes a second or two. */
const MAX_STOP_MS = 15_000;
/** Maximum time to exit after closing: file calls that do not return keep the process alive. */
const MAX_STOPPED_MS = 1000;

/** Exit codes: 0 stopped by a signal, 1 unexpected error, 2 invalid flags or environment. */
export async function main(): Promise<void> {
  // Uploads continue even if the log has no reader.
  surviveUnwritableOutput('backhaul-agent');
  const config = configOrExit();
  if (config === null) return;
  const { logLevel: level, logFormat: format, logToJournal: toJournal } = config;
  const write = (line: string) => void process.stderr.write(line);
  const unlimited = createLog({ level, format, toJournal, write });
  const reportDropped = (lines: number) =>
    unlimited.warn({ lines }, 'log lines dropped: rate limit exceeded');
  const log = createLog({ level, format, toJournal, write: limitedWrite(write, { reportDropped }) });
  if (!trustAtStart(config.caFiles)) return;
  const reload = (): void => reloadAuthorities(config.caFiles, log);
  // Without a listener SIGHUP would end the process. Service managers and administrators send it to reload files.
  process.on('SIGHUP', () => {
    log.info({ signal: 'SIGHUP' }, 'reloading --ca-file');
    reload();
  });
  const watch = config.caFiles.length === 0 ? null : new FileWatch(config.caFiles, { onChange: reload });
  const app = new AgentApp(config, { log });

  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    // exit() waits for all threads, and a thread inside a file call cannot be stopped. Only a signal ends the process then.
    const leave = () => {
      process.removeListener(signal, stop);
      if (process.pid === 1) replaceProcess();
      process.kill(process.pid, signal);
    };
    if (stopping) return app.fileCalls > 0 ? leave() : process.exit(1);
    stopping = true;
    watch?.[Symbol.dispose]();
    log.info({ signal }, 'stopping; send the signal again to stop immediately');
    setTimeout(leave, MAX_STOP_MS).unref();
    void app.close().then(() => {
      log.info({ file_calls: app.fileCalls }, 'stopped');
      // unref: fires only if something else keeps the process alive.
      setTimeout(leave, MAX_STOPPED_MS).unref();
    });
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  try {
    await app.start();
  } catch (error) {
    await app.close();
    reportUsageError(error);
  }
}

/** @returns Whether the agent can start. */
function trustAtStart(caFiles: readonly string[]): boolean {
  // Without --ca-file, the CA certificates of the system are loaded at the first use of TLS.
  if (caFiles.length === 0) return true;
  try {
    trustAuthorities(caFiles);
    return true;
  } catch (error) {
    if (!(error instanceof AuthorityFileError)) throw error;
    reportUsageError(new UsageError(`--ca-file ${error.message}.`, { cause: error }));
    return false;
  }
}

function reloadAuthorities(caFiles: readonly string[], log: Log): void {
  if (caFiles.length === 0) return;
  try {
    trustAuthorities(caFiles);
    log.info({ files: caFiles }, '--ca-file reloaded');
  } catch (error) {
    if (!(error instanceof AuthorityFileError)) throw error;
    log.error(
      { problem: error.message },
      'failed to reload --ca-file; the previous certificates stay in use',
    );
  }
}

/**
 * Ends all threads without waiting for them, by executing a new program that exits with 0. Needed as process 1 of a
 * container or PID namespace, where the kernel ignores a signal without a handler.
 */
function replaceProcess(): void {
  process.execve?.(process.execPath, [process.execPath, '--eval', ''], {});
}

function configOrExit(): AgentConfig | null {
  try {
    const invocation = readOwnConfig();
    if (invocation.kind === 'run') return invocation.config;
    process.stdout.write(invocation.text);
  } catch (error) {
    reportUsageError(error);
  }
  return null;
}

/** Prints a usage error and sets the exit code; rethrows any other error. */
function reportUsageError(error: unknown): void {
  if (!(error instanceof UsageError)) throw error;
  const prefix = writesToJournal() ? journalPrefix('error') : '';
  process.stderr.write(`${prefix}backhaul-agent: ${error.message}\n`);
  process.exitCode = 2;
}
