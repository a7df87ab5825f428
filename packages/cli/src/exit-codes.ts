import type { ErrorKind } from '@backhaul/protocol';

export const DONE = 0;

/** 128 + SIGPIPE, like a program killed by that signal. Used only if a file was cut short. */
export const BROKEN_PIPE = 141;

/** The exit code for each kind of error in the protocol's error table. Scripts rely on these: never change one. */
export const exitCodes = {
  fault: 1,
  usage: 2,
  not_authorised: 3,
  not_found: 4,
  temporary: 5,
  refused_by_agent: 6,
  pull_failed: 7,
} as const satisfies Record<ErrorKind, number>;

/** Texts for the help of the program. */
export const exitCodeTexts: readonly (readonly [number, string])[] = [
  [DONE, 'success'],
  [exitCodes.fault, 'unexpected error, or the output cannot be written'],
  [exitCodes.usage, 'usage error: a flag, argument or setting is wrong'],
  [exitCodes.not_authorised, 'not authorised'],
  [exitCodes.not_found, 'not found'],
  [exitCodes.temporary, 'temporary: server, agent or object store unavailable'],
  [exitCodes.refused_by_agent, "refused by the agent's policy"],
  [exitCodes.pull_failed, 'the upload failed'],
  [130, 'interrupted by Ctrl-C (128 + the signal)'],
  [BROKEN_PIPE, 'the reader of --output - closed before the end of the file'],
];
