import { type PartAnnouncement, type PartPlan, type UploadedPart, partRange } from '@backhaul/protocol';

const REQUEST_AGAIN_MS = 30_000;

export interface TransferPart {
  readonly number: number;
  /** Checksum of the part that the store has from an earlier attempt. */
  readonly stored: string | null;
  state: 'unread' | 'waiting' | 'ready' | 'sending' | 'uploaded' | 'stored';
  /** As announced. */
  crc32: string | null;
  url: { readonly url: string; readonly staleAt: number } | null;
  etag: string | null;
  requestedAt: number | null;
  isReported: boolean;
  failures: number;
  digestFailures: number;
}

/** State of each part of a simulated transfer. */
export class TransferParts {
  readonly plan: PartPlan;
  readonly all: readonly TransferPart[];

  constructor(plan: PartPlan, stored: ReadonlyMap<number, string>) {
    this.plan = plan;
    this.all = Array.from({ length: plan.partCount }, (_, index) => ({
      number: index + 1,
      stored: stored.get(index + 1) ?? null,
      state: 'unread',
      crc32: null,
      url: null,
      etag: null,
      requestedAt: null,
      isReported: false,
      failures: 0,
      digestFailures: 0,
    }));
  }

  get isComplete(): boolean {
    return this.all.every(({ state }) => state === 'uploaded' || state === 'stored');
  }

  /** Number of parts read but not in flight. */
  get ahead(): number {
    return this.count('waiting') + this.count('ready');
  }

  /** Parts sent by this attempt, sorted by number. */
  get uploaded(): UploadedPart[] {
    return this.#of('uploaded').map(uploadedPart);
  }

  next(state: TransferPart['state']): TransferPart | undefined {
    return this.#of(state)[0];
  }

  count(state: TransferPart['state']): number {
    return this.#of(state).length;
  }

  giveUrl(number: number, url: NonNullable<TransferPart['url']>): void {
    const part = this.all[number - 1];
    if (part === undefined || (part.state !== 'waiting' && part.state !== 'ready')) return;
    part.url = url;
    part.state = 'ready';
  }

  dropStaleUrls(now: number): void {
    for (const part of this.#of('ready')) {
      if (part.url !== null && now < part.url.staleAt) continue;
      part.state = 'waiting';
      part.requestedAt = null;
    }
  }

  /** Parts that need a URL; marks them as requested. */
  urlsToRequest(now: number): PartAnnouncement[] {
    const wanting = this.#of('waiting').filter(
      ({ requestedAt }) => requestedAt === null || now - requestedAt >= REQUEST_AGAIN_MS,
    );
    for (const part of wanting) part.requestedAt = now;
    return wanting.map((part) => this.#announcement(part));
  }

  toReport(): UploadedPart[] {
    const news = this.#of('uploaded').filter(({ isReported }) => !isReported);
    for (const part of news) part.isReported = true;
    return news.map(uploadedPart);
  }

  /** After a reconnect: requests and reports on the old socket may not have arrived. */
  resetReports(): void {
    for (const part of this.all) {
      part.isReported = false;
      part.requestedAt = null;
    }
  }

  firstWindow(parts: number): PartAnnouncement[] {
    return this.all.slice(0, parts).map((part) => this.#announcement(part));
  }

  #announcement({ number, crc32 }: TransferPart): PartAnnouncement {
    return { part_number: number, size: partRange(this.plan, number).length, crc32: crc32 ?? '' };
  }

  #of(state: TransferPart['state']): TransferPart[] {
    return this.all.filter((part) => part.state === state);
  }
}

function uploadedPart({ number, etag }: TransferPart): UploadedPart {
  return { part_number: number, etag: etag ?? '' };
}
