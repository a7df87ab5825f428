import { once } from 'node:events';
import { journalPrefix, type LogLevel, renderLogLine, surviveUnwritableOutput } from '@backhaul/program';
import packageJson from '../package.json' with { type: 'json' };
import { type Command, HELP, readCommand, UsageError, writesToJournal } from './config.ts';
import { startObjectStore } from './object-store.ts';
import { DataDirectoryInUse, ForeignDataDirectory } from './storage/data-directory.ts';

const EXIT_FAULT = 1;
const EXIT_USAGE = 2;

async function stopRequested(exitWithStdin: boolean): Promise<void> {
  // There is nothing to reload. Without this listener, closing the terminal would stop the store of a running server.
  process.on('SIGHUP', () => {});
  const reasons: Array<Promise<unknown>> = [once(process, 'SIGTERM'), once(process, 'SIGINT')];
  if (exitWithStdin) {
    // The content is discarded: only the end matters, which also occurs when the parent is killed.
    process.stdin.resume();
    reasons.push(
      new Promise((resolve) =>
        process.stdin.once('end', resolve).once('close', resolve).once('error', resolve),
      ),
    );
  }
  await Promise.race(reasons);
}

async function serve({
  options,
  exitWithStdin,
  logFormat,
}: Extract<Command, { kind: 'serve' }>): Promise<void> {
  const stop = stopRequested(exitWithStdin);
  try {
    await using store = await startObjectStore(options);
    // `event` is for programs that started this one.
    const fields = { event: 'listening', url: store.url };
    const entry = { level: 'info', time: new Date(), message: 'listening', fields } as const;
    process.stdout.write(`${prefixOf('info', 1)}${renderLogLine(entry, logFormat)}\n`);
    await stop;
  } finally {
    // An open pipe would keep the stopped process alive.
    if (exitWithStdin) process.stdin.destroy();
  }
}

/** Describes why the store could not start. */
function explain(error: unknown): string {
  if (error instanceof UsageError) return `${error.message}\nSee backhaul-object-store --help.`;
  if (error instanceof DataDirectoryInUse || error instanceof ForeignDataDirectory) return error.message;
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE')
    return `${error.message}. Another program listens on this port: choose another --port.`;
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return `${error.message}. Change --host.`;
  if (code === 'EACCES')
    return `${error.message}. Check --port and the permissions of --data and --access-log.`;
  return error.stack ?? error.message;
}

function prefixOf(level: LogLevel, fileDescriptor: 1 | 2): string {
  return writesToJournal(fileDescriptor) ? journalPrefix(level) : '';
}

export async function main(): Promise<void> {
  surviveUnwritableOutput('backhaul-object-store');
  try {
    const command = readCommand(process.argv.slice(2));
    if (command.kind === 'help') process.stdout.write(HELP);
    else if (command.kind === 'version') process.stdout.write(`${packageJson.version}\n`);
    else await serve(command);
    process.exitCode = 0;
  } catch (error) {
    process.stderr.write(`${prefixOf('error', 2)}${explain(error)}\n`);
    const usage = [UsageError, DataDirectoryInUse, ForeignDataDirectory].some(
      (type) => error instanceof type,
    );
    process.exitCode = usage ? EXIT_USAGE : EXIT_FAULT;
  }
}
