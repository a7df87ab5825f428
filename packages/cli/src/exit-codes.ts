import type { ErrorKind } from '@backhaul/protocol';

export const DONE = 0;

/** 128 + SIGPIPE, as programs end that the signal kills. Only where a file was cut short by it. */
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

/** As the help of the program prints them. */
export const exitCodeTexts: readonly (readonly [number, string])[] = [
  [DONE, 'done'],
  [exitCodes.fault, 'unexpected fault, or the output cannot be written'],
  [exitCodes.usage, 'usage: a flag, argument or setting is wrong'],
  [exitCodes.not_authorised, 'not authorised'],
  [exitCodes.not_found, 'not found'],
  [exitCodes.temporary, 'temporary: server, agent or storage is away'],
  [exitCodes.refused_by_agent, "refused by the agent's policy"],
  [exitCodes.pull_failed, 'the pull failed'],
  [130, 'stopped by Ctrl-C'],
  [BROKEN_PIPE, 'the reader of --output - stopped before the end of the file'],
];
