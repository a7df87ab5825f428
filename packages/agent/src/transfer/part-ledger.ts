import {
  type PartAnnouncement,
  type PartChecksums,
  type PartPlan,
  partRange,
  type UploadedPart,
} from '@backhaul/protocol';
import { Wakeup } from '../waits.ts';

/** A URL and its expiry on the agent's monotonic clock; the server's dates are not used. */
export interface PartUrl {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** The URL is not used after this time, which is some time before it expires. */
  readonly staleAt: number;
}

/**
 * A part. Its state goes `unread` → `waiting` (announced, without URL) → `ready` → `sending` → `uploaded`, and back to
 * `waiting` when its URL becomes stale. A part stored by an earlier attempt is `kept` from the start.
 */
export interface Part {
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  /** Announced checksums, of this attempt or an earlier one; null while unread. */
  readonly checksums: PartChecksums | null;
  readonly state: 'unread' | 'waiting' | 'ready' | 'sending' | 'uploaded' | 'kept';
  readonly url: PartUrl | null;
  readonly etag: string | null;
  /** Failed PUTs during which the server was reachable. */
  failures: number;
  digestFailures: number;
  expiredUrls: number;
}

type MutablePart = { -readonly [Key in keyof Part]: Part[Key] } & { requestedAt: number; reported: boolean };

interface PartLedgerDeps {
  readonly plan: PartPlan;
  readonly now: () => number;
  /** Requests URLs from the server. @returns Whether the request could be sent. */
  readonly ask: (parts: PartAnnouncement[]) => boolean;
  /** Parts stored by an earlier attempt, by number. */
  readonly kept?: ReadonlyMap<number, PartChecksums>;
}

const NEVER = Number.NEGATIVE_INFINITY;
/** Maximum number of parts in one `parts_ready`. */
const MAX_PARTS_PER_REQUEST = 64;

/** State of each part of a transfer. Independent of connections: messages to the server are derived from it. */
export class PartLedger {
  readonly #parts: MutablePart[];
  readonly #deps: PartLedgerDeps;
  readonly #changed = new Wakeup();
  /** All parts before this index are uploaded or kept. */
  #firstOpen = 0;
  /** All parts from this index on are unread or kept. */
  #firstUnread = 0;
  /** Number of parts in S3. */
  #stored = 0;

  constructor(deps: PartLedgerDeps) {
    this.#deps = deps;
    const { plan, kept = new Map<number, PartChecksums>() } = deps;
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
      requestedAt: NEVER,
      reported: false,
    }));
    this.#stored = this.#parts.filter(isStored).length;
    this.#advance();
  }

  /** Sorted by part number. */
  get parts(): readonly Part[] {
    return this.#parts;
  }

  get complete(): boolean {
    return this.#stored === this.#parts.length;
  }

  /** Number of bytes in S3. */
  get storedBytes(): number {
    return this.#parts.reduce((sum, part) => sum + (isStored(part) ? part.length : 0), 0);
  }

  get keptCount(): number {
    return this.#parts.filter(({ state }) => state === 'kept').length;
  }

  get nextUnread(): Part | null {
    return this.#parts[this.#firstUnread] ?? null;
  }

  /** Number of parts that have been read but whose PUT has not started. */
  get ahead(): number {
    return this.#open().filter(({ state }) => state === 'waiting' || state === 'ready').length;
  }

  /** Records the checksums of the next unread part; `requestUrls` requests its URL. */
  announce(checksums: PartChecksums): PartAnnouncement {
    const part = this.#parts[this.#firstUnread];
    if (part === undefined) throw new RangeError('all parts have been announced');
    this.#firstUnread += 1;
    part.checksums = checksums;
    part.state = 'waiting';
    this.#advance();
    return announcement(part, checksums);
  }

  /** Sets the URL of a part; ignored if the part is being sent, is uploaded, or was never announced. */
  setUrl(partNumber: number, url: PartUrl): void {
    const part = this.#parts[partNumber - 1];
    if (part === undefined || (part.state !== 'waiting' && part.state !== 'ready')) return;
    part.url = url;
    part.state = 'ready';
    this.#changed.notify();
  }

  /** Waits for the lowest part that can be sent; null when all are uploaded. */
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
    this.#advance();
    this.#changed.notify();
  }

  /** For an empty file, whose object the server writes: marks its parts as stored. */
  markStoredByServer(): void {
    for (const part of this.#open()) {
      if (part.state !== 'waiting' && part.state !== 'ready') continue;
      part.state = 'kept';
      part.url = null;
      this.#stored += 1;
    }
    this.#advance();
    this.#changed.notify();
  }

  /** Discards the URL of a part and those issued with it, and requests new ones. */
  urlExpired(part: Part): void {
    const staleAt = part.url?.staleAt;
    for (const other of this.#open()) {
      if (other === part || (other.state === 'ready' && other.url?.staleAt === staleAt)) withoutUrl(other);
    }
    this.requestUrls();
  }

  dropStaleUrls(): void {
    const now = this.#deps.now();
    for (const part of this.#open()) {
      if (part.state === 'ready' && part.url !== null && part.url.staleAt <= now) withoutUrl(part);
    }
    this.requestUrls();
  }

  /** Requests URLs for waiting parts, except those requested within the last `minAgeMs` milliseconds. */
  requestUrls(minAgeMs: number = Number.POSITIVE_INFINITY): void {
    const now = this.#deps.now();
    const waiting = this.#open().filter(
      ({ state, requestedAt }) => state === 'waiting' && now - requestedAt >= minAgeMs,
    );
    for (let at = 0; at < waiting.length; at += MAX_PARTS_PER_REQUEST) {
      const batch = waiting.slice(at, at + MAX_PARTS_PER_REQUEST);
      const sent = this.#deps.ask(
        batch.flatMap((part) => (part.checksums === null ? [] : [announcement(part, part.checksums)])),
      );
      if (!sent) return;
      for (const part of batch) part.requestedAt = now;
    }
  }

  /** For a new connection: requests and reports on the old one may not have arrived. */
  resetReports(): void {
    for (const part of this.#parts) {
      part.reported = false;
      part.requestedAt = NEVER;
    }
  }

  /** Waits until fewer than `limit` parts are ahead, or all are read. */
  async waitUntilAheadBelow(limit: number, { signal }: { signal: AbortSignal }): Promise<void> {
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

  /** Sorted by part number, without kept parts. */
  allUploaded(): UploadedPart[] {
    return this.#parts.filter(({ state }) => state === 'uploaded').map(uploadedPart);
  }

  /** Parts that are read but not uploaded: at most a few windows, so that iterating is cheap. */
  #open(): MutablePart[] {
    return this.#parts.slice(this.#firstOpen, this.#firstUnread);
  }

  #advance(): void {
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
  part.requestedAt = NEVER;
}

function announcement(part: Part, checksums: PartChecksums): PartAnnouncement {
  return { part_number: part.number, size: part.length, ...checksums };
}

function uploadedPart(part: Part): UploadedPart {
  return { part_number: part.number, etag: part.etag ?? '' };
}
