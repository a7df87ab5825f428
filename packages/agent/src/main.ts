import {
  AuthorityFileError,
  FileWatch,
  journalPrefix,
  surviveUnwritableOutput,
  trustAuthorities,
} from '@backhaul/program';
import { AgentApp } from './app.ts';
import { type AgentConfig, readOwnConfig, UsageError, writesToJournal } from './config.ts';
import { createLog, type Log } from './log.ts';
import { limitedWrite } from './log-limit.ts';

/** Closing takes a second or two; this is for unforeseen delays. */
const MAX_STOP_MS = 15_000;
/** File calls that do not come back keep a process alive that has stopped. */
const MAX_STOPPED_MS = 1000;

/** Exit codes: 0 stopped as asked, 1 an unexpected fault, 2 a mistake in flags or environment. */
export async function main(): Promise<void> {
  // A log without a reader is no reason to stop uploading.
  surviveUnwritableOutput('backhaul-agent');
  const config = configOrExit();
  if (config === null) return;
  const { logLevel: level, logFormat: format, logToJournal: toJournal } = config;
  const write = (line: string) => void process.stderr.write(line);
  const notes = createLog({ level, format, toJournal, write });
  const noteLeftOut = (lines: number) =>
    notes.warn({ lines }, 'lines of the log were left out: too many at once');
  const log = createLog({ level, format, toJournal, write: limitedWrite(write, { noteLeftOut }) });
  if (!trustAtStart(config.caFiles)) return;
  const reload = (): void => reloadAuthorities(config.caFiles, log);
  // Without a listener it would end the process: service managers and admins send it to have files read again.
  process.on('SIGHUP', () => {
    log.info({ signal: 'SIGHUP' }, 'reading the files of --ca-file again');
    reload();
  });
  const watch = config.caFiles.length === 0 ? null : new FileWatch(config.caFiles, { onChange: reload });
  const app = new AgentApp(config, { log });

  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    // An exit waits for all threads, and one that is in a file call cannot be ended: only a signal does not wait.
    const leave = () => {
      process.removeListener(signal, stop);
      if (process.pid === 1) becomeNothing();
      process.kill(process.pid, signal);
    };
    if (stopping) return app.fileCalls > 0 ? leave() : process.exit(1);
    stopping = true;
    watch?.[Symbol.dispose]();
    log.info({ signal }, 'stopping; a second signal stops at once');
    setTimeout(leave, MAX_STOP_MS).unref();
    void app.close().then(() => {
      log.info({ file_calls: app.fileCalls }, 'stopped');
      // Only if something keeps the process alive.
      setTimeout(leave, MAX_STOPPED_MS).unref();
    });
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  try {
    await app.start();
  } catch (error) {
    await app.close();
    refuse(error);
  }
}

/** @returns Whether the agent can start. */
function trustAtStart(caFiles: readonly string[]): boolean {
  // Without such files the system's authorities do, from the first use of TLS on.
  if (caFiles.length === 0) return true;
  try {
    trustAuthorities(caFiles);
    return true;
  } catch (error) {
    if (!(error instanceof AuthorityFileError)) throw error;
    refuse(new UsageError(`--ca-file ${error.message}.`, { cause: error }));
    return false;
  }
}

function reloadAuthorities(caFiles: readonly string[], log: Log): void {
  if (caFiles.length === 0) return;
  try {
    trustAuthorities(caFiles);
    log.info({ files: caFiles }, 'authorities of --ca-file reloaded');
  } catch (error) {
    if (!(error instanceof AuthorityFileError)) throw error;
    log.error(
      { problem: error.message },
      'authorities of --ca-file not reloaded; the previous ones stay in use',
    );
  }
}

/**
 * As process 1 of a container or of its own namespace: the kernel ignores the default of a signal there. A new program
 * in this process ends all threads without waiting for them, and this one then exits with 0.
 */
function becomeNothing(): void {
  process.execve?.(process.execPath, [process.execPath, '--eval', ''], {});
}

function configOrExit(): AgentConfig | null {
  try {
    const invocation = readOwnConfig();
    if (invocation.kind === 'run') return invocation.config;
    process.stdout.write(invocation.text);
  } catch (error) {
    refuse(error);
  }
  return null;
}

/** For what its user has to change; everything else is thrown on. */
function refuse(error: unknown): void {
  if (!(error instanceof UsageError)) throw error;
  const prefix = writesToJournal() ? journalPrefix('error') : '';
  process.stderr.write(`${prefix}backhaul-agent: ${error.message}\n`);
  process.exitCode = 2;
}
