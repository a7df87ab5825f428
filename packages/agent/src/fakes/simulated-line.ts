import { PartParallelism, type PartInFlight } from '../transfer/part-parallelism.ts';

export interface LineConditions {
  /** Of the line, shared evenly by what is in flight; a function of the time in milliseconds. */
  readonly bytesPerSecond: number | ((atMs: number) => number);
  /** Of each connection. */
  readonly connectionBytesPerSecond?: number;
  /** From a part's last byte to the next part's first, on one connection. */
  readonly roundTripMs?: number;
  /** All connections break this often. */
  readonly breaksEveryMs?: number;
  /** Each so many-th PUT stalls for good, from this one on. */
  readonly stallsEach?: number;
}

/** What other uploads send beside: a PUT of this size each time, in line with the others. */
export interface OtherPuts {
  readonly bytes: number;
  /** The first one at 0; without this it is the only one. */
  readonly everyMs?: number;
  /** Of its connection, or of the limit of its upload. */
  readonly bytesPerSecond?: number;
  readonly heldBack?: boolean;
}

interface WaitingPut {
  readonly bytes: number;
  readonly tries: number;
  /** Null for a part of the upload that is looked at. */
  readonly other: OtherPuts | null;
}

interface SimulatedPut extends WaitingPut {
  readonly onLine: PartInFlight;
  readonly begunAt: number;
  readonly stalls: boolean;
  /** Bytes per second. */
  readonly most: number;
  left: number;
  silentSince: number;
  answerAt: number;
}

/** Of one upload. */
export interface LineUse {
  readonly tookMs: number;
  /** By the line, of PUTs that ended otherwise than stored. */
  readonly lostBytes: number;
  readonly mostInFlight: number;
  /** By the number of PUTs in flight. */
  readonly msAt: ReadonlyMap<number, number>;
  readonly longestStallMs: number;
}

/** Sends parts of one size over a line that is only reckoned, as many at once as `PartParallelism` says. */
export function sendOver(
  line: LineConditions,
  {
    parts,
    partBytes,
    ceiling = 8,
    others = [],
  }: { parts: number; partBytes: number; ceiling?: number; others?: readonly OtherPuts[] },
): LineUse {
  let now = 0;
  const parallelism = new PartParallelism({ ceiling, now: () => now });
  const inFlight = new Set<SimulatedPut>();
  const waiting: WaitingPut[] = [];
  const msAt = new Map<number, number>();
  let [wanted, stored, begun, lostBytes, mostInFlight, longestStallMs] = [0, 0, 0, 0, 0, 0];
  const rateAt =
    typeof line.bytesPerSecond === 'number' ? () => line.bytesPerSecond as number : line.bytesPerSecond;
  // Coarse steps where a part takes long.
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
      const onLine = parallelism.admit(next.bytes);
      if (onLine === null) break;
      waiting.shift();
      parallelism.begin(onLine);
      begun += 1;
      inFlight.add({
        ...next,
        onLine,
        begunAt: now,
        stalls: line.stallsEach !== undefined && begun % line.stallsEach === 0,
        most: Math.min(line.connectionBytesPerSecond ?? Infinity, next.other?.bytesPerSecond ?? Infinity),
        left: next.bytes,
        silentSince: now,
        answerAt: 0,
      });
    }
    const own = [...inFlight].filter(({ other }) => other === null).length;
    mostInFlight = Math.max(mostInFlight, own);
    msAt.set(own, (msAt.get(own) ?? 0) + stepMs);
    now += stepMs;
    // Whoever needs less than an even share leaves the rest to the others.
    const sending = [...inFlight].filter(({ stalls, left }) => !stalls && left > 0);
    let free = rateAt(now);
    for (const [index, put] of sending.toSorted((a, b) => a.most - b.most).entries()) {
      const rate = Math.min(put.most, free / (sending.length - index));
      free -= rate;
      put.left = Math.max(0, put.left - (rate * stepMs) / 1000);
      put.silentSince = now;
      if (put.left === 0) put.answerAt = now + (line.roundTripMs ?? 0);
    }
    const breaks = line.breaksEveryMs !== undefined && now % line.breaksEveryMs < stepMs;
    for (const put of inFlight) {
      if (put.other?.heldBack === true && now - put.begunAt > 4000) parallelism.heldBack(put.onLine, true);
      if (breaks) {
        parallelism.broke(put.onLine);
        lose(put);
      } else if (put.left === 0 && now >= put.answerAt) {
        parallelism.stored(put.onLine);
        if (put.other === null) stored += 1;
      } else if (parallelism.hasFallenSilent(put.onLine, { ...put, queued: true })) {
        longestStallMs = Math.max(longestStallMs, now - put.silentSince);
        lose(put);
      } else {
        continue;
      }
      parallelism.ended(put.onLine);
      inFlight.delete(put);
    }
    if (now > 3_600_000) throw new Error(`${stored} of ${parts} parts are stored after an hour`);
  }
  return { tookMs: now, lostBytes, mostInFlight, msAt, longestStallMs };
}
