import { BackhaulClient } from '@backhaul/client';
import type { Config } from './config.ts';
import type { Output } from './output.ts';
import { UsageError } from './usage-error.ts';

/** Dependencies passed to every command. */
export interface Context {
  readonly config: Config;
  readonly output: Output;
  /** Aborts when the user interrupts the command; the reason is `Interrupted`. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** @throws UsageError or BackhaulError naming the setting that is missing or wrong. */
export function connect({ config }: Context): BackhaulClient {
  const { url, token, insecure, network } = config;
  try {
    return new BackhaulClient({ url: url.value, token: token.value, insecure, fetch: network.fetch });
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : 'it cannot be used';
    throw new UsageError(`${token.source}: ${problem}.`, null, { cause });
  }
}
