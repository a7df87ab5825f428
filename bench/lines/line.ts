import { setTimeout as sleep } from 'node:timers/promises';
import type { TcpFaultProxy } from '../../test/faults/injection/tcp/tcp-fault-proxy.ts';

export interface Line {
  /** Name for `--only`. */
  readonly name: string;
  readonly about: string;
  readonly sizeBytes: number;
  /** Bandwidth from each moment on, in bytes per second; sorted, starting at 0. */
  readonly rates: ReadonlyArray<{ readonly fromMs: number; readonly bytesPerSecond: number }>;
  /** Bandwidth of each connection. */
  readonly connectionBytesPerSecond?: number;
  /** Round-trip time. */
  readonly roundTripMs?: number;
  /** Interval at which all connections are reset. */
  readonly resetEveryMs?: number;
  /** New connections that stall permanently. */
  readonly stalls?: { readonly each: number; readonly first: number };
  /** Number of responses after which each connection ends. */
  readonly answersOfConnection?: number;
  /** Time that may be lost while probing the link. */
  readonly probeMs: number;
  /** Replaces the default factor 1.15 of the bound. */
  readonly factor?: number;
}

const MBIT = 125_000;

/** Test scenarios: slow, cut, stalling, changing and long links. */
export const lines: readonly Line[] = [
  {
    name: 'reset-60s',
    about: '250 kB/s, all connections reset every 60 s, 40 MB',
    sizeBytes: 40e6,
    rates: [{ fromMs: 0, bytesPerSecond: 250_000 }],
    resetEveryMs: 60_000,
    probeMs: 60_000,
  },
  {
    name: 'slow',
    about: '1 Mbit/s, 500 ms there and back, 30 MB',
    sizeBytes: 30e6,
    rates: [{ fromMs: 0, bytesPerSecond: MBIT }],
    roundTripMs: 500,
    probeMs: 0,
  },
  {
    name: 'reset-5s',
    about: '20 Mbit/s, all connections reset every 5 s, 400 MB',
    sizeBytes: 400e6,
    rates: [{ fromMs: 0, bytesPerSecond: 20 * MBIT }],
    resetEveryMs: 5000,
    probeMs: 5000,
  },
  {
    name: 'stalls',
    about: '100 Mbit/s, each 50th connection stalls for good, each ends after 4 answers, 1.5 GB',
    sizeBytes: 1.5e9,
    rates: [{ fromMs: 0, bytesPerSecond: 100 * MBIT }],
    stalls: { each: 50, first: 10 },
    answersOfConnection: 4,
    probeMs: 0,
  },
  {
    name: 'changing',
    about: '10 Mbit/s, after 15 s 256 kbit/s, after 75 s 10 Mbit/s again, 40 MB',
    sizeBytes: 40e6,
    rates: [
      { fromMs: 0, bytesPerSecond: 10 * MBIT },
      { fromMs: 15_000, bytesPerSecond: 32_000 },
      { fromMs: 75_000, bytesPerSecond: 10 * MBIT },
    ],
    probeMs: 0,
  },
  {
    name: 'long',
    about: '200 Mbit/s, each connection held to 20 Mbit/s, 100 ms there and back, 1 GB',
    sizeBytes: 1e9,
    rates: [{ fromMs: 0, bytesPerSecond: 200 * MBIT }],
    connectionBytesPerSecond: 20 * MBIT,
    roundTripMs: 100,
    probeMs: 0,
    factor: 1 / 0.7,
  },
];

/** Makes a proxy simulate the link. @returns Handle that stops the changes. */
export function apply(line: Line, proxy: TcpFaultProxy): Disposable {
  const over = new AbortController();
  const { signal } = over;
  if (line.roundTripMs !== undefined) proxy.delay(line.roundTripMs / 2);
  if (line.connectionBytesPerSecond !== undefined)
    proxy.limitConnectionBandwidth(line.connectionBytesPerSecond);
  if (line.stalls !== undefined) proxy.strandSome(line.stalls);
  if (line.answersOfConnection !== undefined) proxy.endAfterAnswers(line.answersOfConnection);
  for (const { fromMs, bytesPerSecond } of line.rates) {
    if (fromMs === 0) proxy.limitBandwidth(bytesPerSecond);
    else void at(fromMs, () => proxy.limitBandwidth(bytesPerSecond), signal);
  }
  const timer =
    line.resetEveryMs === undefined ? undefined : setInterval(() => proxy.reset(), line.resetEveryMs);
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer);
      over.abort();
    },
  };
}

async function at(ms: number, act: () => void, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).then(act, () => undefined);
}

interface Bound {
  readonly tookMs: number;
  /** Bytes of parts cut by a reset in the same schedule. */
  readonly lostBytes: number;
}

/**
 * Best possible result with parts, which cannot be resumed: whole parts in sequence between two resets, each started as
 * soon as the previous one has ended.
 */
function boundOf(line: Line, partBytes: number): Bound {
  let [atMs, lostBytes] = [0, 0];
  for (let left = line.sizeBytes; left > 0;) {
    const part = Math.min(partBytes, left);
    const endMs = sentAt(line, atMs, part);
    const resetMs = line.resetEveryMs ?? Infinity;
    const nextReset = (Math.floor(atMs / resetMs) + 1) * resetMs;
    if (endMs <= nextReset || resetMs === Infinity) {
      atMs = endMs;
      left -= part;
    } else {
      lostBytes += carried(line, atMs, nextReset);
      atMs = nextReset;
    }
  }
  return { tookMs: atMs, lostBytes };
}

/** Bytes that the link carries between two moments. */
function carried({ rates }: Line, fromMs: number, toMs: number): number {
  return rates.reduce((sum, { fromMs: since, bytesPerSecond }, index) => {
    const until = rates[index + 1]?.fromMs ?? Infinity;
    const ms = Math.max(0, Math.min(toMs, until) - Math.max(fromMs, since));
    return sum + (ms * bytesPerSecond) / 1000;
  }, 0);
}

function sentAt(line: Line, fromMs: number, bytes: number): number {
  let [left, at] = [bytes, fromMs];
  for (const [index, { bytesPerSecond }] of line.rates.entries()) {
    const until = line.rates[index + 1]?.fromMs ?? Infinity;
    if (until <= at) continue;
    const ms = (left / bytesPerSecond) * 1000;
    if (at + ms <= until) return at + ms;
    left -= ((until - at) * bytesPerSecond) / 1000;
    at = until;
  }
  return at;
}

/** Limits for the measured result. */
export interface Limits {
  readonly bound: Bound;
  readonly tookMs: number;
  readonly lostBytes: number;
}

export function limitsOf(line: Line, partBytes: number, { stalls }: { stalls: number }): Limits {
  const bound = boundOf(line, partBytes);
  const { probeMs, factor = 1.15 } = line;
  const tookMs =
    line.stalls === undefined ? bound.tookMs * factor + probeMs : bound.tookMs + stalls * STALL_MS;
  // A stalled connection has swallowed at most one part.
  const lostBytes =
    line.stalls === undefined ? bound.lostBytes * 1.15 + carried(line, 0, probeMs) : stalls * partBytes;
  return { bound, tookMs, lostBytes };
}

/** Time after which a stalled connection has to be abandoned. */
const STALL_MS = 25_000;
