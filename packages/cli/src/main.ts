import { CommanderError } from 'commander';
import { Config, readEnvironment, wantsColor } from './config.ts';
import { DONE, exitCodes } from './exit-codes.ts';
import { describeFailure, renderFailure } from './failure.ts';
import { Interrupted, type InterruptSignal, interruptSignals } from './interrupted.ts';
import { Output } from './output.ts';
import { type Call, parseCall } from './program.ts';

/** npx hands a signal on that the terminal has sent already: what follows so soon is the same one. */
const SAME_SIGNAL_MS = 1000;

export async function main(): Promise<void> {
  const stop = new AbortController();
  catchSignals(stop);
  catchBrokenPipe(stop);
  process.exitCode = await run(process.argv.slice(2), stop.signal);
}

async function run(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const env = readEnvironment();
  const { stdout, stderr } = process;
  // A command line that is not understood may still have asked for JSON.
  const outputFor = (json: boolean) => new Output({ stdout, stderr, json, color: wantsColor(env) });
  let call: Call;
  try {
    call = parseCall(argv, {
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
    });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return DONE;
    // Its help has been printed instead.
    if (error instanceof CommanderError && error.code === 'commander.help') return exitCodes.usage;
    return fail(error, outputFor(argv.includes('--json')));
  }
  const { command, globals, input } = call;
  const output = outputFor(globals.json === true);
  try {
    const config = new Config(globals, env, process.cwd());
    return (await command.run({ config, output, signal, now: Date.now }, input)) ?? DONE;
  } catch (error) {
    return isBrokenPipe(error) ? DONE : fail(error, output);
  }
}

function fail(error: unknown, output: Output): number {
  const failure = describeFailure(error);
  renderFailure(failure, output);
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

/** `backhaul uploads | head -1`: nobody reads on, so there is nothing more to do and nobody to tell. */
function catchBrokenPipe(stop: AbortController): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) => {
      if (!isBrokenPipe(error)) throw error;
      if (!stop.signal.aborted) stop.abort(error);
    });
  }
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE';
}
