import { ApiError } from '@backhaul/client';
import { asOutputError } from '@backhaul/client/content';
import { CommanderError } from 'commander';
import { Config, readEnvironment, wantsColor } from './config.ts';
import { DONE, exitCodes } from './exit-codes.ts';
import { describeFailure, renderFailure } from './failure.ts';
import type { Context } from './context.ts';
import { Interrupted, type InterruptSignal, interruptSignals } from './interrupted.ts';
import { meantClient } from './meant-client.ts';
import { Output, STANDARD_OUTPUT } from './output.ts';
import { type Call, parseCall } from './program.ts';

/** npx hands a signal on that the terminal has sent already: what follows so soon is the same one. */
const SAME_SIGNAL_MS = 1000;

export async function main(): Promise<void> {
  const stop = new AbortController();
  catchSignals(stop);
  const failed = catchOutputErrors(stop);
  const exitCode = await run(process.argv.slice(2), stop.signal);
  // Errors of what was written last are still to come.
  await new Promise((resolve) => process.stdout.write('', resolve));
  const error = failed();
  process.exitCode = exitCode === DONE && error !== undefined ? fail(error, outputFor(false)) : exitCode;
}

async function run(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const env = readEnvironment();
  let call: Call;
  try {
    call = parseCall(argv, {
      writeOut: (text) => void process.stdout.write(text),
      writeErr: (text) => void process.stderr.write(text),
    });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return DONE;
    // Its help has been printed instead.
    if (error instanceof CommanderError && error.code === 'commander.help') return exitCodes.usage;
    // A command line that is not understood may still have asked for JSON.
    return fail(error, outputFor(argv.includes('--json')));
  }
  const { command, globals, input } = call;
  const output = outputFor(globals.json === true);
  const config = new Config(globals, env, process.cwd());
  const context: Context = { config, output, signal, now: Date.now };
  try {
    return (await command.run(context, input)) ?? DONE;
  } catch (error) {
    if (isBrokenPipe(error)) return DONE;
    const isUnknownClient = error instanceof ApiError && error.code === 'client_not_found';
    const meant = isUnknownClient ? await meantClient(context, input.options['clientId']) : undefined;
    return fail(error, output, meant === undefined ? undefined : `Did you mean ${meant}?`);
  }
}

function outputFor(json: boolean): Output {
  const { stdout, stderr } = process;
  return new Output({ stdout, stderr, json, color: wantsColor(readEnvironment()) });
}

function fail(error: unknown, output: Output, advice?: string): number {
  const failure = describeFailure(error);
  renderFailure({ ...failure, fix: advice ?? failure.fix }, output);
  return failure.exitCode;
}

/** The first signal lets the command tidy up; a later one ends it where it is. */
function catchSignals(stop: AbortController): void {
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
 * Ends the command when nobody takes what it prints. `backhaul uploads | head -1`: the reader has what it wanted, so
 * there is nothing more to do and nobody to tell. A full disk is told.
 *
 * @returns The error of standard output, if it is to be told.
 */
function catchOutputErrors(stop: AbortController): () => unknown {
  let failed: unknown;
  process.stdout.on('error', (error) => {
    const told = isBrokenPipe(error) ? error : asOutputError(error, STANDARD_OUTPUT);
    if (!isBrokenPipe(error)) failed ??= told;
    if (!stop.signal.aborted) stop.abort(told);
  });
  // Nobody can be told.
  process.stderr.on('error', (error) => {
    if (isBrokenPipe(error) && !stop.signal.aborted) stop.abort(error);
  });
  return () => failed;
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE';
}
