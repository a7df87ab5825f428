import { type PartAnnouncement, type PartPlan, type UploadedPart, partRange } from '@backhaul/protocol';

const ASK_AGAIN_MS = 30_000;

export interface TransferPart {
  readonly number: number;
  /** Checksum of the part that the store holds from an earlier attempt. */
  readonly kept: string | null;
  state: 'unread' | 'waiting' | 'ready' | 'sending' | 'uploaded' | 'kept';
  /** As announced. */
  crc32: string | null;
  url: { readonly url: string; readonly staleAt: number } | null;
  etag: string | null;
  askedAt: number | null;
  isReported: boolean;
  failures: number;
  digestFailures: number;
}

/** Where each part of a simulated transfer stands. */
export class TransferParts {
  readonly plan: PartPlan;
  readonly all: readonly TransferPart[];

  constructor(plan: PartPlan, kept: ReadonlyMap<number, string>) {
    this.plan = plan;
    this.all = Array.from({ length: plan.partCount }, (_, index) => ({
      number: index + 1,
      kept: kept.get(index + 1) ?? null,
      state: 'unread',
      crc32: null,
      url: null,
      etag: null,
      askedAt: null,
      isReported: false,
      failures: 0,
      digestFailures: 0,
    }));
  }

  get isComplete(): boolean {
    return this.all.every(({ state }) => state === 'uploaded' || state === 'kept');
  }

  /** Read, but not on their way. */
  get ahead(): number {
    return this.count('waiting') + this.count('ready');
  }

  /** In order, those that this attempt sent. */
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
      part.askedAt = null;
    }
  }

  /** Those that wait for a URL; from then on they were asked for. */
  toAskFor(now: number): PartAnnouncement[] {
    const wanting = this.#of('waiting').filter(
      ({ askedAt }) => askedAt === null || now - askedAt >= ASK_AGAIN_MS,
    );
    for (const part of wanting) part.askedAt = now;
    return wanting.map((part) => this.#announcement(part));
  }

  toReport(): UploadedPart[] {
    const news = this.#of('uploaded').filter(({ isReported }) => !isReported);
    for (const part of news) part.isReported = true;
    return news.map(uploadedPart);
  }

  /** A new socket: what was asked and reported on the old one may not have arrived. */
  forgetWhatWasSaid(): void {
    for (const part of this.all) {
      part.isReported = false;
      part.askedAt = null;
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
