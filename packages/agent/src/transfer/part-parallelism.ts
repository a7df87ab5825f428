/** Maximum duration of a part while the benefit of parallel parts is unknown. */
export const PART_MS = 20_000;
/** Maximum duration of a part, as a share of the usual time between two connection losses. */
const SHARE_OF_HOLD = 1 / 3;
/** Parts that the network can send within this time may be in flight without testing whether parallel parts help. */
const CHEAP_MS = 4000;
/** Smaller PUTs are ignored: their duration is mostly the round-trip time. */
const SMALL_BYTES = 256 * 1024;
/** A part that exceeds its expected duration by this factor is overdue: its connection hangs, or the network became slow. */
const OVERDUE = 3;
/** Minimum part size of S3, which most parts have. */
const MIN_PART_BYTES = 5 * 1024 * 1024;
/** After the first part, as many may follow as the network can send within this time, since their benefit is unknown. */
const FIRST_STEP_MS = 12_000;
/** After a first part faster than this, `PART_MS` is used instead: little can be lost, and too few parts cost more. */
const SHORT_MS = 2500;
/** Parts faster than this are not limited by the network: more of them in parallel cost 4 % of 2 GB/s on two cores. */
const INSTANT_MS = 50;
const INSTANT_PARTS = 4;
/** Twice as many parts must raise the rate by this factor, otherwise half of them are enough. */
const WORTHWHILE = 1.1;
/** Interval between tests with more parts. */
const TRIAL_MS = 60_000;
/** Connection losses within this time count as one, because all connections fail at about the same moment. */
const ONE_BREAK_MS = 2000;
/** A PUT that fails sooner is ignored: its kept-alive connection was probably closed by the store. */
const TELLING_MS = 250;
/** After this time without a PUT all measurements are discarded: the machine may be on another network. */
const FORGET_MS = 600_000;
/** A connection without an acknowledged byte for this time is dead if parts that started later have been stored. */
const OVERTAKEN_MS = 12_000;
/** Required number of such parts, or the number in flight if that is larger. */
const OVERTAKEN_BY = 4;
/** The same for a single PUT, with a minimum of this multiple of the usual duration of a part. */
const SILENT_MS = 20_000;
const SILENT_PARTS = 4;
/** Number of stored parts to remember. */
const REMEMBERED = 64;

/** Slot of a PUT. The PUT first waits for memory and disk, then it is sent. */
export interface PutSlot {
  readonly bytes: number;
  /** Null until the PUT is sent. */
  startedAt: number | null;
  /** `#partMs` at that moment: the difference at the end gives the average number of PUTs in flight. */
  partMs: number;
  round: object;
  /** Whether the rate limit of its own upload holds it back. */
  heldBack: boolean;
}

/**
 * Decides which PUTs may be in flight at the same time on this machine's network connection. A lost connection discards
 * the whole part, and S3 accepts no part below 5 MiB. So on a slow network few parts are sent in parallel, down to one.
 * By their bytes, all PUTs in flight have to complete
 *
 * - within a third of the usual time between two connection losses, at the current rate;
 * - and within a few seconds, unless a test has shown that twice as many parts raise the rate. Tests run every minute.
 *
 * One PUT may always be in flight. PUTs that cannot use the full bandwidth are not counted and not measured: small files,
 * parts held back by the limit of their own upload, and parts that are long overdue while others are stored.
 */
export class PartParallelism {
  readonly #ceiling: number;
  readonly #now: () => number;
  readonly #inFlight = new Set<PutSlot>();
  /** Integral of the number of PUTs in flight over time. */
  #partMs = 0;
  /** Time with at least one in flight. */
  #busyMs = 0;
  #countedAt: number;
  #partBytes = 0;
  /** Mean size of stored parts, weighted by bytes. */
  #usualBytes = 0;
  /** Current rate in bytes per millisecond; 0 until the first part is stored. */
  #rate = 0;
  /** `#busyMs` at the last connection loss, and the usual time between two. */
  #brokeAt = 0;
  #holdsMs = Number.POSITIVE_INFINITY;
  /** Number of parts beyond which more are not known to help. */
  #enough = 1;
  #base: { readonly limit: number; readonly rate: number } | null = null;
  #round = newRound(1);
  #nextTrialAt = 0;
  /** Start times of the parts stored most recently. */
  readonly #storedStarts: number[] = [];
  /** Average of the parts stored most recently. */
  #msPerByte = 0;
  /** When the last part was stored, and the latest start time of a stored part. */
  #storedAt = Number.NEGATIVE_INFINITY;
  #latestStored = Number.NEGATIVE_INFINITY;

  /**
   * @param options.ceiling Limit of the owner, which also bounds memory.
   * @param options.now Monotonic, milliseconds.
   */
  constructor({ ceiling, now }: { readonly ceiling: number; readonly now: () => number }) {
    this.#ceiling = ceiling;
    this.#now = now;
    this.#countedAt = now();
  }

  /** Number of parts of the current size that may be in flight. Starts at one and rises after the first stored part. */
  get limit(): number {
    this.#count();
    let limit = 1;
    while (limit < this.#ceiling && this.#fit(limit + 1, (limit + 1) * this.#partBytes)) limit += 1;
    return limit;
  }

  /** Expected time between two connection losses; infinite without any. Grows while there is none. */
  get holdsMs(): number {
    this.#count();
    if (this.#holdsMs === Number.POSITIVE_INFINITY) return this.#holdsMs;
    return Math.max(this.#holdsMs, this.#busyMs - this.#brokeAt);
  }

  /** Average time between the observed connection losses; null without any. */
  get breaksEveryMs(): number | null {
    return this.#holdsMs === Number.POSITIVE_INFINITY ? null : this.#holdsMs;
  }

  /** Size of the part that was started last. */
  get partBytes(): number {
    return this.#partBytes;
  }

  /** Recent rate in bytes per second; null before the first stored part. */
  get bytesPerSecond(): number | null {
    return this.#rate === 0 ? null : this.#rate * 1000;
  }

  /** @returns The slot of a PUT, to be released with `ended`; null if it has to wait. */
  admit(bytes: number): PutSlot | null {
    this.#count();
    if (this.#inFlight.size >= this.#ceiling) return null;
    if (bytes >= SMALL_BYTES) {
      const others = this.#filling();
      if (!this.#fit(others.length + 1, bytes + sumOfBytes(others))) return null;
      this.#partBytes = bytes;
    }
    const put = { bytes, startedAt: null, partMs: 0, round: this.#round, heldBack: false };
    this.#inFlight.add(put);
    return put;
  }

  /** Records that the PUT is being sent. */
  begin(put: PutSlot): void {
    this.#count();
    const { limit } = this;
    if (Math.abs(limit - this.#round.limit) > this.#round.limit / 4) this.#round = newRound(limit);
    Object.assign(put, { startedAt: this.#now(), partMs: this.#partMs, round: this.#round });
  }

  /** Records whether the limit of its own upload, not the network, holds the PUT back. */
  heldBack(put: PutSlot, heldBack: boolean): void {
    this.#count();
    put.heldBack = heldBack;
  }

  /** Records that the part is stored. */
  stored(put: PutSlot): void {
    this.#count();
    const now = this.#now();
    const startedAt = put.startedAt ?? now;
    const tookMs = Math.max(1, now - startedAt);
    const wasOvertaken = this.#isOverdue(put) && this.#latestStored > startedAt;
    this.#inFlight.delete(put);
    this.#storedStarts.push(startedAt);
    if (this.#storedStarts.length > REMEMBERED) this.#storedStarts.shift();
    if (put.bytes < SMALL_BYTES || put.heldBack || wasOvertaken) return;
    this.#latestStored = Math.max(this.#latestStored, startedAt);
    this.#storedAt = now;
    const inParallel = Math.max(1, (this.#partMs - put.partMs) / tookMs);
    // Little's law: number in flight divided by the duration of each.
    const rate = (put.bytes * inParallel) / tookMs;
    if (this.#rate === 0) {
      this.#rate = rate;
      const stepMs = tookMs < SHORT_MS ? PART_MS : FIRST_STEP_MS;
      this.#enough = Math.max(1, Math.floor((rate * stepMs) / Math.max(put.bytes, MIN_PART_BYTES)));
    }
    // A part of twice the usual size counts twice as much.
    const weight = put.bytes / (put.bytes + this.#usualBytes);
    // Mean of the durations, not of the rates, so that a slow network is detected immediately.
    this.#rate = 1 / ((1 - weight) / this.#rate + weight / rate);
    this.#msPerByte += (tookMs / put.bytes - this.#msPerByte) * weight;
    this.#usualBytes += (put.bytes - this.#usualBytes) * weight;
    if (put.round === this.#round) this.#sample(rate, inParallel);
  }

  /**
   * Records that its connection was lost, or became silent together with all others.
   *
   * @returns Whether this counts as a problem of the network.
   */
  broke(put: PutSlot): boolean {
    this.#count();
    this.#inFlight.delete(put);
    const sinceMs = this.#busyMs - this.#brokeAt;
    if (put.startedAt === null || this.#now() - put.startedAt < TELLING_MS) return false;
    if (sinceMs < ONE_BREAK_MS && this.#holdsMs !== Number.POSITIVE_INFINITY) return true;
    this.#holdsMs = this.#holdsMs === Number.POSITIVE_INFINITY ? sinceMs : (this.#holdsMs + sinceMs) / 2;
    this.#brokeAt = this.#busyMs;
    this.#round = newRound(this.limit);
    return true;
  }

  /** Releases the slot after the PUT has ended in any way. */
  ended(put: PutSlot): void {
    this.#count();
    this.#inFlight.delete(put);
  }

  /**
   * Whether a PUT without an acknowledged byte since `silentSince` has a dead connection. If several are silent together,
   * the network may have become slow. That is possible for a single one, too, so each retry of its part waits twice as
   * long.
   *
   * @param options.queued Whether bytes are unacknowledged; otherwise only the store's response is missing.
   */
  hasFallenSilent(
    put: PutSlot,
    { silentSince, tries, queued }: { silentSince: number; tries: number; queued: boolean },
  ): boolean {
    const silentMs = this.#now() - silentSince;
    const overtakenBy = this.#storedStarts.filter((startedAt) => startedAt >= silentSince).length;
    if (silentMs >= OVERTAKEN_MS && overtakenBy >= Math.max(OVERTAKEN_BY, this.#inFlight.size)) return true;
    // Near the end of the last file no more parts follow that could overtake it. If all bytes are acknowledged, the disk
    // or the store may be slow for this part only: each retry of it then waits twice as long.
    const overtakenMs = queued ? SILENT_MS : SILENT_MS * 2 ** tries;
    if (silentMs >= overtakenMs && this.#latestStored >= silentSince) return true;
    if (this.#inFlight.size > 1) return false;
    // A store that has never responded may be slow.
    if (this.#storedStarts.length === 0 && !queued) return false;
    return silentMs >= Math.max(SILENT_MS, SILENT_PARTS * this.#msPerByte * put.bytes) * 2 ** tries;
  }

  #count(): void {
    const now = this.#now();
    const ms = now - this.#countedAt;
    if (this.#inFlight.size === 0 && ms > FORGET_MS) this.#forget();
    if ([...this.#inFlight].some(isSending)) this.#busyMs += ms;
    this.#partMs += ms * this.#filling().filter(isSending).length;
    this.#countedAt = now;
  }

  /** Whether the network allows this number of parallel parts. */
  #fit(parts: number, bytes: number): boolean {
    if (parts <= 1) return true;
    const rate = this.#currentRate();
    if (rate === 0) return false;
    if (parts > INSTANT_PARTS && this.#msPerByte * this.#partBytes < INSTANT_MS) return false;
    const takesMs = bytes / rate;
    if (takesMs > this.holdsMs * SHARE_OF_HOLD) return false;
    const isTried = parts <= this.#enough && (this.#base === null || rate >= this.#base.rate / 2);
    // With two, one part is sent while the response to the other is pending.
    return isTried || takesMs <= (parts === 2 ? PART_MS : CHEAP_MS);
  }

  /** PUTs in flight that can use the full bandwidth. */
  #filling(): PutSlot[] {
    let overdue = 0;
    return [...this.#inFlight].filter((put) => {
      if (put.heldBack || put.bytes < SMALL_BYTES) return false;
      // The network may have become slow, so the threshold triples for each further overdue part.
      if (!this.#isOverdue(put, overdue)) return true;
      overdue += 1;
      return false;
    });
  }

  #isOverdue({ startedAt, bytes }: PutSlot, others = 0): boolean {
    if (startedAt === null) return false;
    return this.#now() - startedAt > OVERDUE ** (others + 1) * Math.max(PART_MS, this.#msPerByte * bytes);
  }

  /** The measured rate, or less if no part was stored recently: at most the bytes in flight were sent since then. */
  #currentRate(): number {
    const sending = this.#filling().filter(isSending);
    const startedAt = sending[0]?.startedAt ?? null;
    if (startedAt === null) return this.#rate;
    const sinceMs = this.#now() - Math.max(this.#storedAt, startedAt);
    return Math.min(this.#rate, sumOfBytes(sending) / Math.max(1, sinceMs));
  }

  /** Evaluates a number of parallel parts after as many parts have been stored with it. */
  #sample(rate: number, inParallel: number): void {
    const round = this.#round;
    // The end of a file or a slow disk does not use the full bandwidth.
    if (inParallel < round.limit * 0.75) return;
    round.rates.push(rate);
    if (round.rates.length < round.limit) return;
    const mean = round.rates.reduce((sum, each) => sum + each, 0) / round.rates.length;
    const { limit } = round;
    const now = this.#now();
    const base = this.#base;
    if (base !== null && mean < base.rate / 2) {
      // The network has changed.
      this.#enough = 1;
      this.#base = null;
      this.#nextTrialAt = now + TRIAL_MS;
    } else if (base === null || limit <= base.limit) {
      this.#base = { limit, rate: mean };
      if (base !== null && now >= this.#nextTrialAt) this.#enough = limit * 2;
    } else if (mean >= base.rate * WORTHWHILE) {
      this.#base = { limit, rate: mean };
      this.#enough = Math.max(this.#enough, limit * 2);
    } else {
      this.#enough = base.limit;
      // This many are allowed without a test.
      this.#base = { limit: Math.max(base.limit, this.limit), rate: base.rate };
      this.#nextTrialAt = now + TRIAL_MS;
    }
    this.#round = newRound(this.limit);
  }

  #forget(): void {
    this.#rate = 0;
    this.#msPerByte = 0;
    this.#usualBytes = 0;
    this.#enough = 1;
    this.#storedStarts.length = 0;
    this.#storedAt = Number.NEGATIVE_INFINITY;
    this.#latestStored = Number.NEGATIVE_INFINITY;
    this.#holdsMs = Number.POSITIVE_INFINITY;
    this.#brokeAt = this.#busyMs;
    this.#base = null;
  }
}

function newRound(limit: number): { readonly limit: number; readonly rates: number[] } {
  return { limit, rates: [] };
}

function isSending({ startedAt }: PutSlot): boolean {
  return startedAt !== null;
}

function sumOfBytes(puts: readonly PutSlot[]): number {
  return puts.reduce((sum, { bytes }) => sum + bytes, 0);
}
