/** A part should be over within this long, as long as it is unknown whether parallel parts pay. */
export const PART_MS = 20_000;
/** A part may take this share of how long the line usually holds between two breaks. */
const SHARE_OF_HOLD = 1 / 3;
/** Parts that the line carries within this long may be in flight without asking whether more than one pays. */
const CHEAP_MS = 4000;
/** Smaller files are over at once on any line that carries parts, and what they take is the way there and back. */
const SMALL_BYTES = 256 * 1024;
/** A part that takes so many times as long as one should hangs on its own connection, or the line has become slow. */
const OVERDUE = 3;
/** What S3 takes as the smallest part, and so most of them are. */
const MIN_PART_BYTES = 5 * 1024 * 1024;
/** After the first part, so many may follow as the line carries within this long: what they bring is not known yet. */
const FIRST_STEP_MS = 12_000;
/** After one that was over so soon, as many as may ever be: little is lost, and each round with too few costs more. */
const SHORT_MS = 2500;
/** Parts that are over so soon are held up by no line: more of them side by side cost 4 % of 2 GB/s on two cores. */
const INSTANT_MS = 50;
const INSTANT_PARTS = 4;
/** Twice the parts have to bring so much more, or half of them are enough. */
const WORTHWHILE = 1.1;
/** Between two trials whether more parts pay now. */
const TRIAL_MS = 60_000;
/** All connections break at about the same moment: within this long it is one break. */
const ONE_BREAK_MS = 2000;
/** A PUT that fails sooner says more about its connection (kept alive, and closed by the store) than about the line. */
const TELLING_MS = 250;
/** Without a PUT for this long what was learned is forgotten: the machine may be on another line by now. */
const FORGET_MS = 600_000;
/** So long without an acknowledged byte, while parts that were begun later are stored: the connection is dead. */
const OVERTAKEN_MS = 12_000;
/** So many of them, or as many as are in flight. */
const OVERTAKEN_BY = 4;
/** The same with nothing to compare with, and not less than this many times what a part has been taking. */
const SILENT_MS = 20_000;
const SILENT_PARTS = 4;
/** Stored parts that are remembered. */
const REMEMBERED = 64;

/** The place of a PUT: it waits for memory and disk, and then it is on its way. */
export interface PartInFlight {
  readonly bytes: number;
  /** Null until it is on its way. */
  begunAt: number | null;
  /** `#partMs` at that moment: the difference at its end tells how many were in flight meanwhile, on average. */
  partMs: number;
  round: object;
  /** By the rate limit of its own upload. */
  heldBack: boolean;
}

/**
 * Which PUTs may be in flight at once over the line that this machine hangs on. A connection that is cut during a part
 * throws all of it away, and S3 takes no part below 5 MiB. So a slow line gets few parts side by side, down to one. All
 * that are in flight, by their bytes, have to be over
 *
 * - within a third of the time for which the line has held between breaks, at the rate at which parts are being stored;
 * - and within a few seconds, unless it was tried that twice as many parts raise the rate. It is tried every minute.
 *
 * One may always be in flight. What cannot fill a line does not count, and tells nothing of it: small files, parts that
 * the limit of their own upload holds back, and parts that are long overdue while others are stored.
 */
export class PartParallelism {
  readonly #ceiling: number;
  readonly #now: () => number;
  readonly #inFlight = new Set<PartInFlight>();
  /** The integral of the number in flight over time. */
  #partMs = 0;
  /** Time with at least one in flight. */
  #busyMs = 0;
  #countedAt: number;
  #partBytes = 0;
  /** The mean of what was stored, by bytes. */
  #usualBytes = 0;
  /** Bytes per millisecond at which parts are being stored. 0 until the first one is. */
  #rate = 0;
  /** `#busyMs` at the last break, and how long the line usually holds. */
  #brokeAt = 0;
  #holdsMs = Number.POSITIVE_INFINITY;
  /** So many parts are as good as more, as far as is known. */
  #enough = 1;
  #base: { readonly limit: number; readonly rate: number } | null = null;
  #round = newRound(1);
  #nextTrialAt = 0;
  /** When the parts that were stored last had been begun. */
  readonly #storedBegan: number[] = [];
  /** Of the parts that were stored last. */
  #msPerByte = 0;
  /** When a part was stored last, and the latest beginning of one that was. */
  #storedAt = Number.NEGATIVE_INFINITY;
  #latestStored = Number.NEGATIVE_INFINITY;

  /**
   * @param options.ceiling The owner's, which also bounds memory.
   * @param options.now Monotonic, milliseconds.
   */
  constructor({ ceiling, now }: { readonly ceiling: number; readonly now: () => number }) {
    this.#ceiling = ceiling;
    this.#now = now;
    this.#countedAt = now();
  }

  /** Parts like the last one that may be in flight now. It starts at one; the first stored part tells how far it can rise. */
  get limit(): number {
    this.#count();
    let limit = 1;
    while (limit < this.#ceiling && this.#fit(limit + 1, (limit + 1) * this.#partBytes)) limit += 1;
    return limit;
  }

  /** How long the line holds between two breaks; infinite if none was seen. */
  get holdsMs(): number {
    this.#count();
    if (this.#holdsMs === Number.POSITIVE_INFINITY) return this.#holdsMs;
    return Math.max(this.#holdsMs, this.#busyMs - this.#brokeAt);
  }

  /** The same by breaks alone; null if none was seen. */
  get breaksEveryMs(): number | null {
    return this.#holdsMs === Number.POSITIVE_INFINITY ? null : this.#holdsMs;
  }

  /** Of the part that was begun last. */
  get partBytes(): number {
    return this.#partBytes;
  }

  /** Bytes per second at which parts were being stored lately; null before the first one. */
  get bytesPerSecond(): number | null {
    return this.#rate === 0 ? null : this.#rate * 1000;
  }

  /** @returns Null if it has to wait. `ended` gives the place back. */
  admit(bytes: number): PartInFlight | null {
    this.#count();
    if (this.#inFlight.size >= this.#ceiling) return null;
    if (bytes >= SMALL_BYTES) {
      const beside = this.#filling();
      if (!this.#fit(beside.length + 1, bytes + sumOfBytes(beside))) return null;
      this.#partBytes = bytes;
    }
    const put = { bytes, begunAt: null, partMs: 0, round: this.#round, heldBack: false };
    this.#inFlight.add(put);
    return put;
  }

  /** It is on its way. */
  begin(put: PartInFlight): void {
    this.#count();
    const { limit } = this;
    if (Math.abs(limit - this.#round.limit) > this.#round.limit / 4) this.#round = newRound(limit);
    Object.assign(put, { begunAt: this.#now(), partMs: this.#partMs, round: this.#round });
  }

  /** Whether it is now the limit of its own upload, and not the line, that lets it wait. */
  heldBack(put: PartInFlight, heldBack: boolean): void {
    this.#count();
    put.heldBack = heldBack;
  }

  /** The store has acknowledged it. */
  stored(put: PartInFlight): void {
    this.#count();
    const now = this.#now();
    const begunAt = put.begunAt ?? now;
    const tookMs = Math.max(1, now - begunAt);
    const wasOvertaken = this.#isOverdue(put) && this.#latestStored > begunAt;
    this.#inFlight.delete(put);
    this.#storedBegan.push(begunAt);
    if (this.#storedBegan.length > REMEMBERED) this.#storedBegan.shift();
    if (put.bytes < SMALL_BYTES || put.heldBack || wasOvertaken) return;
    this.#latestStored = Math.max(this.#latestStored, begunAt);
    this.#storedAt = now;
    const beside = Math.max(1, (this.#partMs - put.partMs) / tookMs);
    // By Little's law: so many at once, each over in so long.
    const rate = (put.bytes * beside) / tookMs;
    if (this.#rate === 0) {
      this.#rate = rate;
      const stepMs = tookMs < SHORT_MS ? PART_MS : FIRST_STEP_MS;
      this.#enough = Math.max(1, Math.floor((rate * stepMs) / Math.max(put.bytes, MIN_PART_BYTES)));
    }
    // One twice as large as usual tells twice as much.
    const weight = put.bytes / (put.bytes + this.#usualBytes);
    // The mean of the times, not of the rates: a line that has become slow shows at once.
    this.#rate = 1 / ((1 - weight) / this.#rate + weight / rate);
    this.#msPerByte += (tookMs / put.bytes - this.#msPerByte) * weight;
    this.#usualBytes += (put.bytes - this.#usualBytes) * weight;
    if (put.round === this.#round) this.#sample(rate, beside);
  }

  /**
   * Its connection broke, or fell silent together with all others.
   *
   * @returns Whether that says something of the line.
   */
  broke(put: PartInFlight): boolean {
    this.#count();
    this.#inFlight.delete(put);
    const sinceMs = this.#busyMs - this.#brokeAt;
    if (put.begunAt === null || this.#now() - put.begunAt < TELLING_MS) return false;
    if (sinceMs < ONE_BREAK_MS && this.#holdsMs !== Number.POSITIVE_INFINITY) return true;
    this.#holdsMs = this.#holdsMs === Number.POSITIVE_INFINITY ? sinceMs : (this.#holdsMs + sinceMs) / 2;
    this.#brokeAt = this.#busyMs;
    this.#round = newRound(this.limit);
    return true;
  }

  /** It ended: stored, broken, or in a way that says nothing of the line. */
  ended(put: PartInFlight): void {
    this.#count();
    this.#inFlight.delete(put);
  }

  /**
   * Whether a PUT of which nothing was acknowledged since `silentSince` hangs on a dead connection. Several that are
   * silent together hang on the line, which may have become slow. A single one may, too: each further try of its part
   * waits for twice as long.
   *
   * @param options.queued Whether bytes of it wait to be acknowledged, or else only the store's answer is missing.
   */
  hasFallenSilent(
    put: PartInFlight,
    { silentSince, tries, queued }: { silentSince: number; tries: number; queued: boolean },
  ): boolean {
    const silentMs = this.#now() - silentSince;
    const overtakenBy = this.#storedBegan.filter((begunAt) => begunAt >= silentSince).length;
    if (silentMs >= OVERTAKEN_MS && overtakenBy >= Math.max(OVERTAKEN_BY, this.#inFlight.size)) return true;
    // Near the end of the last file no more parts follow that could overtake it.
    if (silentMs >= SILENT_MS && this.#latestStored >= silentSince) return true;
    if (this.#inFlight.size > 1) return false;
    // A store that has never answered may be one that takes its time.
    if (this.#storedBegan.length === 0 && !queued) return false;
    return silentMs >= Math.max(SILENT_MS, SILENT_PARTS * this.#msPerByte * put.bytes) * 2 ** tries;
  }

  #count(): void {
    const now = this.#now();
    const ms = now - this.#countedAt;
    if (this.#inFlight.size === 0 && ms > FORGET_MS) this.#forget();
    if ([...this.#inFlight].some(isOnItsWay)) this.#busyMs += ms;
    this.#partMs += ms * this.#filling().filter(isOnItsWay).length;
    this.#countedAt = now;
  }

  /** Whether the line takes so many parts side by side. */
  #fit(parts: number, bytes: number): boolean {
    if (parts <= 1) return true;
    const rate = this.#rateNow();
    if (rate === 0) return false;
    if (parts > INSTANT_PARTS && this.#msPerByte * this.#partBytes < INSTANT_MS) return false;
    const takesMs = bytes / rate;
    if (takesMs > this.holdsMs * SHARE_OF_HOLD) return false;
    const isTried = parts <= this.#enough && (this.#base === null || rate >= this.#base.rate / 2);
    // Two hide the store's answer to one behind the bytes of the other.
    return isTried || takesMs <= (parts === 2 ? PART_MS : CHEAP_MS);
  }

  /** Those in flight that can fill the line, and whose places others wait for. */
  #filling(): PartInFlight[] {
    let overdue = 0;
    return [...this.#inFlight].filter((put) => {
      if (put.heldBack || put.bytes < SMALL_BYTES) return false;
      // It may be the line that has become slow: each further one takes three times as long to be overdue.
      if (!this.#isOverdue(put, overdue)) return true;
      overdue += 1;
      return false;
    });
  }

  #isOverdue({ begunAt, bytes }: PartInFlight, others = 0): boolean {
    if (begunAt === null) return false;
    return this.#now() - begunAt > OVERDUE ** (others + 1) * Math.max(PART_MS, this.#msPerByte * bytes);
  }

  /** The measured one, or less if none was stored lately: since then no more was carried than what is in flight. */
  #rateNow(): number {
    const sending = this.#filling().filter(isOnItsWay);
    const begunAt = sending[0]?.begunAt ?? null;
    if (begunAt === null) return this.#rate;
    const sinceMs = this.#now() - Math.max(this.#storedAt, begunAt);
    return Math.min(this.#rate, sumOfBytes(sending) / Math.max(1, sinceMs));
  }

  /** Judges what a number of parts brings, once as many have been stored by that number. */
  #sample(rate: number, beside: number): void {
    const round = this.#round;
    // A file that ends, or a slow disk, does not fill the line.
    if (beside < round.limit * 0.75) return;
    round.rates.push(rate);
    if (round.rates.length < round.limit) return;
    const mean = round.rates.reduce((sum, each) => sum + each, 0) / round.rates.length;
    const { limit } = round;
    const now = this.#now();
    const base = this.#base;
    if (base !== null && mean < base.rate / 2) {
      // It has become another line.
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
      // That many are in flight without having been tried.
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
    this.#storedBegan.length = 0;
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

function isOnItsWay({ begunAt }: PartInFlight): boolean {
  return begunAt !== null;
}

function sumOfBytes(puts: readonly PartInFlight[]): number {
  return puts.reduce((sum, { bytes }) => sum + bytes, 0);
}
