import { ApiError } from '@backhaul/client';
import { asOutputError } from '@backhaul/client/content';
import { CommanderError } from 'commander';
import { connect, type Context } from './command.ts';
import { Config, readEnvironment, wantsColor } from './config.ts';
import { Interrupted, type InterruptSignal, interruptSignals } from './errors.ts';
import { describeFailure, DONE, exitCodes, renderFailure } from './failure.ts';
import { suggestClient } from './identifiers.ts';
import { Output, STANDARD_OUTPUT } from './output.ts';
import { type Invocation, parseCommandLine } from './program.ts';

/** npx forwards a signal that the terminal has already sent: a repetition within this time is the same signal. */
const SAME_SIGNAL_MS = 1000;

export async function main(): Promise<void> {
  const stop = new AbortController();
  handleSignals(stop);
  const failed = handleOutputErrors(stop);
  const exitCode = await run(process.argv.slice(2), stop.signal);
  // Flush: errors of the last writes may not have been reported yet.
  await new Promise((resolve) => process.stdout.write('', resolve));
  const error = failed();
  process.exitCode = exitCode === DONE && error !== undefined ? fail(error, outputFor(false)) : exitCode;
}

async function run(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const env = readEnvironment();
  let invocation: Invocation;
  try {
    invocation = parseCommandLine(argv, {
      writeOut: (text) => void process.stdout.write(text),
      writeErr: (text) => void process.stderr.write(text),
    });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return DONE;
    // The help has been printed instead of an error.
    if (error instanceof CommanderError && error.code === 'commander.help') return exitCodes.usage;
    // An invalid command line may still contain --json.
    return fail(error, outputFor(argv.includes('--json')));
  }
  const { command, globals, input } = invocation;
  const output = outputFor(globals.json === true);
  const config = new Config(globals, env, process.cwd());
  const context: Context = { config, output, signal, now: Date.now };
  try {
    return (await command.run(context, input)) ?? DONE;
  } catch (error) {
    if (isBrokenPipe(error)) return DONE;
    const isUnknownClient = error instanceof ApiError && error.code === 'client_not_found';
    const similar = isUnknownClient
      ? await suggestClient(connect(context), input.options['clientId'], signal)
      : undefined;
    return fail(error, output, similar === undefined ? undefined : `Did you mean ${similar}?`);
  }
}

function outputFor(json: boolean): Output {
  const { stdout, stderr } = process;
  return new Output({ stdout, stderr, json, color: wantsColor(readEnvironment()) });
}

function fail(error: unknown, output: Output, fix?: string): number {
  const failure = describeFailure(error);
  renderFailure({ ...failure, fix: fix ?? failure.fix }, output);
  return failure.exitCode;
}

/** The first signal aborts the command, which cleans up; a later one exits at once. */
function handleSignals(stop: AbortController): void {
  for (const name of Object.keys(interruptSignals) as InterruptSignal[]) {
    let firstAt: number | undefined;
    process.on(name, () => {
      firstAt ??= performance.now();
      if (!stop.signal.aborted) stop.abort(new Interrupted(name));
      else if (performance.now() - firstAt > SAME_SIGNAL_MS) process.exit(128 + interruptSignals[name]);
    });
  }
}

/**
 * Aborts the command when its output cannot be written. A closed pipe (`backhaul uploads | head -1`) is no error: the
 * reader has what it needs. Other errors, such as a full disk, are reported.
 *
 * @returns A function that returns the error of standard output to report, if any.
 */
function handleOutputErrors(stop: AbortController): () => unknown {
  let failed: unknown;
  process.stdout.on('error', (error) => {
    const reason = isBrokenPipe(error) ? error : asOutputError(error, STANDARD_OUTPUT);
    if (!isBrokenPipe(error)) failed ??= reason;
    if (!stop.signal.aborted) stop.abort(reason);
  });
  // An error of standard error cannot be reported.
  process.stderr.on('error', (error) => {
    if (isBrokenPipe(error) && !stop.signal.aborted) stop.abort(error);
  });
  return () => failed;
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE';
}
