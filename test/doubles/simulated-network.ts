import { PartParallelism, type PutSlot } from '../../packages/agent/src/transfer/part-parallelism.ts';

export interface NetworkConditions {
  /** Bandwidth, shared evenly by all PUTs in flight; a constant or a function of the time in milliseconds. */
  readonly bytesPerSecond: number | ((atMs: number) => number);
  /** Limit of each connection. */
  readonly connectionBytesPerSecond?: number;
  /** Time from the last byte of a part to the first byte of the next one on the same connection. */
  readonly roundTripMs?: number;
  /** Interval at which all connections are lost. */
  readonly breaksEveryMs?: number;
  /** Every n-th PUT stalls permanently. */
  readonly stallsEach?: number;
}

/** PUTs of other uploads, which share the queue. */
export interface OtherPuts {
  readonly bytes: number;
  /** Interval, starting at 0; undefined for a single PUT. */
  readonly everyMs?: number;
  /** Limit of its connection or of its upload. */
  readonly bytesPerSecond?: number;
  readonly heldBack?: boolean;
}

interface WaitingPut {
  readonly bytes: number;
  readonly tries: number;
  /** Null for a part of the measured upload. */
  readonly other: OtherPuts | null;
}

interface SimulatedPut extends WaitingPut {
  readonly slot: PutSlot;
  readonly startedAt: number;
  readonly stalls: boolean;
  /** Bytes per second. */
  readonly most: number;
  left: number;
  silentSince: number;
  respondsAt: number;
}

/** Measurements of one upload. */
export interface NetworkUse {
  readonly tookMs: number;
  /** Bytes sent in PUTs that failed. */
  readonly lostBytes: number;
  readonly mostInFlight: number;
  /** Time with each number of PUTs in flight. */
  readonly msAt: ReadonlyMap<number, number>;
  readonly longestStallMs: number;
}

/** Simulates sending parts of one size over a network, with the parallelism chosen by `PartParallelism`. */
export function sendOver(
  network: NetworkConditions,
  {
    parts,
    partBytes,
    ceiling = 8,
    others = [],
  }: { parts: number; partBytes: number; ceiling?: number; others?: readonly OtherPuts[] },
): NetworkUse {
  let now = 0;
  const parallelism = new PartParallelism({ ceiling, now: () => now });
  const inFlight = new Set<SimulatedPut>();
  const waiting: WaitingPut[] = [];
  const msAt = new Map<number, number>();
  let [wanted, stored, started, lostBytes, mostInFlight, longestStallMs] = [0, 0, 0, 0, 0, 0];
  const rateAt =
    typeof network.bytesPerSecond === 'number'
      ? () => network.bytesPerSecond as number
      : network.bytesPerSecond;
  // Coarse steps if a part takes long.
  const stepMs = Math.max(1, Math.min(20, Math.round((partBytes / rateAt(0)) * 20)));
  const lose = ({ bytes, tries, other, left }: SimulatedPut): void => {
    if (other === null) lostBytes += bytes - left;
    waiting.push({ bytes, tries: tries + 1, other });
  };
  while (stored < parts) {
    for (const other of others) {
      if (now % (other.everyMs ?? Infinity) < stepMs) waiting.push({ bytes: other.bytes, tries: 0, other });
    }
    for (; wanted < Math.min(parts, stored + ceiling); wanted += 1)
      waiting.push({ bytes: partBytes, tries: 0, other: null });
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      const slot = parallelism.admit(next.bytes);
      if (slot === null) break;
      waiting.shift();
      parallelism.begin(slot);
      started += 1;
      inFlight.add({
        ...next,
        slot,
        startedAt: now,
        stalls: network.stallsEach !== undefined && started % network.stallsEach === 0,
        most: Math.min(network.connectionBytesPerSecond ?? Infinity, next.other?.bytesPerSecond ?? Infinity),
        left: next.bytes,
        silentSince: now,
        respondsAt: 0,
      });
    }
    const own = [...inFlight].filter(({ other }) => other === null).length;
    mostInFlight = Math.max(mostInFlight, own);
    msAt.set(own, (msAt.get(own) ?? 0) + stepMs);
    now += stepMs;
    // PUTs that use less than an even share leave the rest to the others.
    const sending = [...inFlight].filter(({ stalls, left }) => !stalls && left > 0);
    let free = rateAt(now);
    for (const [index, put] of sending.toSorted((a, b) => a.most - b.most).entries()) {
      const rate = Math.min(put.most, free / (sending.length - index));
      free -= rate;
      put.left = Math.max(0, put.left - (rate * stepMs) / 1000);
      put.silentSince = now;
      if (put.left === 0) put.respondsAt = now + (network.roundTripMs ?? 0);
    }
    const breaks = network.breaksEveryMs !== undefined && now % network.breaksEveryMs < stepMs;
    for (const put of inFlight) {
      if (put.other?.heldBack === true && now - put.startedAt > 4000) parallelism.heldBack(put.slot, true);
      if (breaks) {
        parallelism.broke(put.slot);
        lose(put);
      } else if (put.left === 0 && now >= put.respondsAt) {
        parallelism.stored(put.slot);
        if (put.other === null) stored += 1;
      } else if (parallelism.hasFallenSilent(put.slot, { ...put, queued: true })) {
        longestStallMs = Math.max(longestStallMs, now - put.silentSince);
        lose(put);
      } else {
        continue;
      }
      parallelism.ended(put.slot);
      inFlight.delete(put);
    }
    if (now > 3_600_000) throw new Error(`${stored} of ${parts} parts are stored after an hour`);
  }
  return { tookMs: now, lostBytes, mostInFlight, msAt, longestStallMs };
}
