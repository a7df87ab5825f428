import {
  type PartAnnouncement,
  type PartChecksums,
  type PartPlan,
  partRange,
  type UploadedPart,
} from '@backhaul/protocol';
import { Wakeup } from '../wakeup.ts';

/** A URL and how long it may still be used, on the agent's monotonic clock; the server's dates are not looked at. */
export interface PartUrl {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Not to be used from then on; some way before the URL really expires. */
  readonly staleAt: number;
}

/**
 * One part's way: `unread` → `waiting` (announced; has no URL) → `ready` → `sending` → `uploaded`, and back to
 * `waiting` when its URL goes stale. A part that an earlier attempt stored is `kept` from the start.
 */
export interface Part {
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  /** What was announced, by this attempt or an earlier one; null while unread. */
  readonly checksums: PartChecksums | null;
  readonly state: 'unread' | 'waiting' | 'ready' | 'sending' | 'uploaded' | 'kept';
  readonly url: PartUrl | null;
  readonly etag: string | null;
  /** Failed PUTs that counted: the server was there meanwhile. */
  failures: number;
  digestFailures: number;
  expiredUrls: number;
}

type MutablePart = { -readonly [Key in keyof Part]: Part[Key] } & { askedAt: number; reported: boolean };

interface LedgerOptions {
  readonly plan: PartPlan;
  readonly now: () => number;
  /** Asks the server for URLs. @returns Whether the request could be sent. */
  readonly ask: (parts: PartAnnouncement[]) => boolean;
  /** Parts that S3 holds from an earlier attempt, by number. */
  readonly kept?: ReadonlyMap<number, PartChecksums>;
}

const NEVER = Number.NEGATIVE_INFINITY;
/** `parts_ready` names at most so many. */
const MAX_ASKED = 64;

/** Where each part of a transfer stands. It survives sockets: what was said to the server follows from it. */
export class PartLedger {
  readonly #parts: MutablePart[];
  readonly #options: LedgerOptions;
  readonly #changed = new Wakeup();
  /** All parts before this index are uploaded or kept. */
  #firstOpen = 0;
  /** All parts from this index on are unread or kept. */
  #firstUnread = 0;
  /** Parts that S3 holds. */
  #stored = 0;

  constructor(options: LedgerOptions) {
    this.#options = options;
    const { plan, kept = new Map<number, PartChecksums>() } = options;
    this.#parts = Array.from({ length: plan.partCount }, (_, index) => ({
      number: index + 1,
      ...partRange(plan, index + 1),
      checksums: kept.get(index + 1) ?? null,
      state: kept.has(index + 1) ? 'kept' : 'unread',
      url: null,
      etag: null,
      failures: 0,
      digestFailures: 0,
      expiredUrls: 0,
      askedAt: NEVER,
      reported: false,
    }));
    this.#stored = this.#parts.filter(isStored).length;
    this.#moveOn();
  }

  /** In order. */
  get parts(): readonly Part[] {
    return this.#parts;
  }

  get complete(): boolean {
    return this.#stored === this.#parts.length;
  }

  /** Bytes that S3 holds. */
  get storedBytes(): number {
    return this.#parts.reduce((sum, part) => sum + (isStored(part) ? part.length : 0), 0);
  }

  get keptCount(): number {
    return this.#parts.filter(({ state }) => state === 'kept').length;
  }

  get nextUnread(): Part | null {
    return this.#parts[this.#firstUnread] ?? null;
  }

  /** Parts that have been read but whose PUT has not begun. */
  get ahead(): number {
    return this.#open().filter(({ state }) => state === 'waiting' || state === 'ready').length;
  }

  /** The next unread part has been hashed; its URL is asked for by `askForUrls`. */
  announce(checksums: PartChecksums): PartAnnouncement {
    const part = this.#parts[this.#firstUnread];
    if (part === undefined) throw new RangeError('all parts have been announced');
    this.#firstUnread += 1;
    part.checksums = checksums;
    part.state = 'waiting';
    this.#moveOn();
    return announcement(part, checksums);
  }

  /** A URL for a part that is being sent, is uploaded, or was never announced changes nothing. */
  giveUrl(partNumber: number, url: PartUrl): void {
    const part = this.#parts[partNumber - 1];
    if (part === undefined || (part.state !== 'waiting' && part.state !== 'ready')) return;
    part.url = url;
    part.state = 'ready';
    this.#changed.notify();
  }

  /** The lowest part that can be sent, once there is one; null when all are uploaded. */
  async take({ signal }: { signal: AbortSignal }): Promise<Part | null> {
    for (;;) {
      signal.throwIfAborted();
      if (this.complete) return null;
      const part = this.#open().find(({ state }) => state === 'ready');
      if (part !== undefined) {
        part.state = 'sending';
        this.#changed.notify();
        return part;
      }
      await this.#changed.wait(signal);
    }
  }

  uploaded(part: Part, etag: string): void {
    const own = this.#own(part);
    own.state = 'uploaded';
    own.etag = etag;
    own.url = null;
    this.#stored += 1;
    this.#moveOn();
    this.#changed.notify();
  }

  /** The parts of an empty file, whose object the server writes: there is nothing to send. */
  leaveToServer(): void {
    for (const part of this.#open()) {
      if (part.state !== 'waiting' && part.state !== 'ready') continue;
      part.state = 'kept';
      part.url = null;
      this.#stored += 1;
    }
    this.#moveOn();
    this.#changed.notify();
  }

  /** The part's URL is of no use any more, nor are those that were issued with it. */
  urlExpired(part: Part): void {
    const staleAt = part.url?.staleAt;
    for (const other of this.#open()) {
      if (other === part || (other.state === 'ready' && other.url?.staleAt === staleAt)) withoutUrl(other);
    }
    this.askForUrls();
  }

  dropStaleUrls(): void {
    const now = this.#options.now();
    for (const part of this.#open()) {
      if (part.state === 'ready' && part.url !== null && part.url.staleAt <= now) withoutUrl(part);
    }
    this.askForUrls();
  }

  /** Asks for the parts that wait for a URL, unless they were asked for within `unlessAskedWithinMs`. */
  askForUrls(unlessAskedWithinMs: number = Number.POSITIVE_INFINITY): void {
    const now = this.#options.now();
    const wanting = this.#open().filter(
      ({ state, askedAt }) => state === 'waiting' && now - askedAt >= unlessAskedWithinMs,
    );
    for (let at = 0; at < wanting.length; at += MAX_ASKED) {
      const batch = wanting.slice(at, at + MAX_ASKED);
      const asked = this.#options.ask(
        batch.flatMap((part) => (part.checksums === null ? [] : [announcement(part, part.checksums)])),
      );
      if (!asked) return;
      for (const part of batch) part.askedAt = now;
    }
  }

  /** A new socket: what was asked and reported on the old one may not have arrived. */
  forgetWhatWasSaid(): void {
    for (const part of this.#parts) {
      part.reported = false;
      part.askedAt = NEVER;
    }
  }

  /** Waits until fewer than `limit` parts are ahead, or all are read. */
  async roomAhead(limit: number, { signal }: { signal: AbortSignal }): Promise<void> {
    while (this.ahead >= limit) await this.#changed.wait(signal);
  }

  unreported(limit: number): UploadedPart[] {
    return this.#parts
      .filter(({ etag, reported }) => etag !== null && !reported)
      .slice(0, limit)
      .map(uploadedPart);
  }

  markReported(parts: readonly UploadedPart[]): void {
    for (const { part_number: number } of parts) {
      const part = this.#parts[number - 1];
      if (part !== undefined) part.reported = true;
    }
  }

  /** In order, without those that were kept. */
  allUploaded(): UploadedPart[] {
    return this.#parts.filter(({ state }) => state === 'uploaded').map(uploadedPart);
  }

  /** The parts that are read but not uploaded: a few windows at most, so that looking through them is cheap. */
  #open(): MutablePart[] {
    return this.#parts.slice(this.#firstOpen, this.#firstUnread);
  }

  #moveOn(): void {
    for (let part = this.#parts[this.#firstOpen]; part !== undefined && isStored(part);) {
      part = this.#parts[(this.#firstOpen += 1)];
    }
    while (this.#parts[this.#firstUnread]?.state === 'kept') this.#firstUnread += 1;
  }

  #own(part: Part): MutablePart {
    const own = this.#parts[part.number - 1];
    if (own !== part) throw new RangeError(`part ${part.number} is of another ledger`);
    return own;
  }
}

function isStored({ state }: Part): boolean {
  return state === 'uploaded' || state === 'kept';
}

function withoutUrl(part: MutablePart): void {
  part.url = null;
  part.state = 'waiting';
  part.askedAt = NEVER;
}

function announcement(part: Part, checksums: PartChecksums): PartAnnouncement {
  return { part_number: part.number, size: part.length, ...checksums };
}

function uploadedPart(part: Part): UploadedPart {
  return { part_number: part.number, etag: part.etag ?? '' };
}
