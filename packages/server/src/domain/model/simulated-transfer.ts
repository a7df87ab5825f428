import {
  type AgentMessage,
  type ChangePolicy,
  type DownloadFile,
  type ErrorCode,
  type PartUrls,
  type PrepareUpload,
  planParts,
  versionDifferences,
} from '@backhaul/protocol';
import {
  type FileVersion,
  type Inode,
  type SimulatedFile,
  crc32Of,
  fingerprintOf,
  partOf,
  sizeBytesOf,
} from './simulated-file.ts';
import type { PutAnswer } from './part-urls.ts';
import type { Puts } from './simulated-put.ts';
import { TransferParts, type TransferPart } from './transfer-parts.ts';
import type { Tally } from './tally.ts';
import type { Witness } from './witness.ts';

/** Parts announced ahead of their PUTs; fewer than the server grants, so that small files have several windows. */
const WINDOW = 2;
const PUTS_AT_ONCE = 2;
const MAX_FAILURES = 4;
const MAX_DIGEST_FAILURES = 3;

export interface TransferSurroundings {
  /** @returns whether there is a socket to say it to. */
  readonly say: (message: AgentMessage) => boolean;
  readonly isConnected: () => boolean;
  readonly now: () => number;
  readonly puts: Puts;
  /** Whether the process still lives. */
  readonly isAlive: () => boolean;
  readonly tally: Tally;
  readonly witness: Witness;
}

type Final = Extract<AgentMessage, { status: 'completed' | 'failed' }>;
type Stage = 'new' | 'opened' | 'prepared' | 'sending' | 'over';

/** One attempt in one process of an agent, as docs/protocol.md wants it. What takes time is done step by step. */
export class SimulatedTransfer {
  readonly uploadId: string;
  readonly attempt: number;
  readonly #request: PrepareUpload;
  readonly #policy: ChangePolicy;
  readonly #file: SimulatedFile;
  readonly #world: TransferSurroundings;
  #stage: Stage = 'new';
  #final: Final | undefined;
  #inode: Inode | undefined;
  #opened: FileVersion | undefined;
  #parts: TransferParts | undefined;
  #preparedAt = 0;
  #retries = 0;

  constructor(request: PrepareUpload, file: SimulatedFile, world: TransferSurroundings) {
    this.uploadId = request.upload_id;
    this.attempt = request.attempt;
    this.#request = request;
    this.#policy = request.on_change ?? 'fail';
    this.#file = file;
    this.#world = world;
  }

  get isActive(): boolean {
    return this.#stage !== 'over';
  }

  /** Over, and without a last word that could be repeated. */
  get isGone(): boolean {
    return this.#stage === 'over' && this.#final === undefined;
  }

  /** One thing that there is to do. @returns false if there is nothing. */
  step(): boolean {
    switch (this.#stage) {
      case 'new':
        this.#open();
        return true;
      case 'opened':
        this.#prepare();
        return true;
      case 'sending':
        return this.#send();
      case 'prepared':
      case 'over':
        return false;
    }
    return this.#stage satisfies never;
  }

  /** There is a new socket, or the server asked for it again. */
  repeat(): void {
    if (this.#final !== undefined) this.#world.say(this.#final);
    else if (this.#request.resume !== undefined) this.#sayResumed();
    else if (this.#stage === 'prepared' || this.#stage === 'sending') this.#sayPrepared();
  }

  /** The server's verdict after a new socket: go on. */
  goOn(): void {
    if (this.#stage !== 'sending') return this.repeat();
    if (this.#request.resume !== undefined) this.#sayResumed();
    this.#parts?.forgetWhatWasSaid();
  }

  start(message: DownloadFile): void {
    if (this.#final !== undefined) return this.repeat();
    if (this.#stage !== 'prepared' && this.#stage !== 'sending') return;
    this.#stage = 'sending';
    this.takeUrls(message.upload_config);
  }

  takeUrls({
    presigned_urls: urls,
    expires_in_ms: lifeMs,
  }: Pick<PartUrls, 'presigned_urls' | 'expires_in_ms'>): void {
    for (const { part_number: number, url } of urls) {
      this.#parts?.giveUrl(number, { url, staleAt: this.#world.now() + lifeMs });
    }
  }

  /** A prepared upload that nobody starts is let go. */
  timePassed(): void {
    if (this.#stage === 'prepared' && this.#world.now() - this.#preparedAt >= this.#request.expires_in_ms) {
      this.drop();
    }
  }

  drop(): void {
    this.#stage = 'over';
  }

  putAnswered(part: TransferPart, answer: PutAnswer): void {
    if (this.#stage === 'over') return;
    switch (answer.status) {
      case 'stored':
        part.state = 'uploaded';
        part.etag = answer.etag;
        return;
      case 'expired':
        part.state = 'waiting';
        part.askedAt = null;
        return;
      case 'gone':
        return this.#fail('upload_gone', 'The store no longer has the multipart upload.');
      case 'bad_digest':
        part.digestFailures += 1;
        if (this.#read(part.number) !== part.crc32) return this.#fileChanged('its content changed');
        if (part.digestFailures === MAX_DIGEST_FAILURES)
          return this.#fail('checksum_mismatch', 'Three times.');
        break;
      case 'unavailable':
        part.failures += 1;
        this.#retries += 1;
        if (part.failures >= MAX_FAILURES && this.#world.isConnected()) {
          return this.#fail('storage_unavailable', `Part ${part.number} failed ${part.failures} times.`);
        }
        if (part.failures === 2) this.#sayStalled();
        break;
    }
    part.state = 'ready';
  }

  #open(): void {
    const { resume } = this.#request;
    this.#inode = this.#file.open();
    this.#opened = this.#inode.now;
    const sizeBytes = resume?.size ?? sizeBytesOf(this.#opened.content);
    const { min_chunk_size: minChunkSize, max_parts: maxParts } = this.#request.plan;
    const kept = new Map(resume?.kept_parts.map(({ part_number, crc32 }) => [part_number, crc32]));
    this.#parts = new TransferParts(planParts(sizeBytes, { minChunkSize, maxParts }), kept);
    if (resume === undefined) {
      this.#stage = 'opened';
    } else if (this.#differs(resume.fingerprint)) {
      this.#fileChanged('it is another version than the one that was begun');
    } else {
      if (kept.size > 0) this.#world.tally.count('resumed with kept parts');
      this.#stage = 'sending';
      this.#sayResumed();
    }
  }

  #prepare(): void {
    while (this.#parts !== undefined && this.#parts.ahead < WINDOW && this.#readNext());
    if (this.#stage !== 'opened') return;
    this.#stage = 'prepared';
    this.#preparedAt = this.#world.now();
    this.#sayPrepared();
  }

  #send(): boolean {
    const parts = this.#parts;
    if (parts === undefined) return false;
    const { now } = this.#world;
    parts.dropStaleUrls(now());
    const ready = parts.next('ready');
    if (ready !== undefined && parts.count('sending') < PUTS_AT_ONCE) return this.#put(ready);
    if (parts.ahead < WINDOW && parts.next('unread') !== undefined) {
      this.#readNext();
      return true;
    }
    if (!this.#world.isConnected() && !parts.isComplete) return false;
    const wanting = parts.toAskFor(now());
    if (wanting.length > 0) {
      return this.#world.say({ status: 'parts_ready', ...this.#about, parts: wanting });
    }
    const news = parts.toReport();
    if (news.length > 0) {
      return this.#world.say({
        status: 'part_uploaded',
        ...this.#about,
        parts: news,
        retries: this.#retries,
      });
    }
    if (!parts.isComplete) return false;
    this.#finish(parts);
    return true;
  }

  #put(part: TransferPart): boolean {
    if (this.#isUnchanged() && part.url !== null && this.#inode !== undefined && this.#parts !== undefined) {
      part.state = 'sending';
      const { inode, parts } = { inode: this.#inode, parts: this.#parts };
      this.#world.witness.sawPut(this, part.number);
      this.#world.puts.begin({
        url: part.url.url,
        read: () => partOf(inode.now.content, parts.plan, part.number),
        isListening: () => this.#stage !== 'over' && this.#world.isAlive(),
        answered: (answer) => this.putAnswered(part, answer),
      });
    }
    return true;
  }

  /** Of a kept part the bytes must still be those that the store has; any other is announced. */
  #readNext(): boolean {
    const part = this.#parts?.next('unread');
    if (part === undefined) return false;
    const crc32 = this.#read(part.number);
    if (!this.#isUnchanged()) return false;
    if (part.kept !== null && part.kept !== crc32) {
      this.#world.tally.count('kept parts that the process had to find changed');
      this.#fileChanged('its content changed');
      return false;
    }
    part.crc32 = crc32;
    part.state = part.kept === null ? 'waiting' : 'kept';
    return true;
  }

  /** The bytes alone can tell once the ctime has moved, and by prefix also once the file has grown. */
  #finish(parts: TransferParts): void {
    if (!this.#isUnchanged() || this.#inode === undefined || this.#opened === undefined) return;
    if (this.#inode.now.ctime !== this.#opened.ctime) {
      if (parts.all.some((part) => this.#read(part.number) !== part.crc32)) {
        return this.#fileChanged('its content changed');
      }
      this.#world.tally.count('completed in spite of a ctime that moved');
      if (this.#inode.now.content.length > this.#opened.content.length && this.#policy === 'prefix')
        this.#world.tally.count('completed by prefix after the file had grown');
    }
    this.#end({
      status: 'completed',
      ...this.#about,
      file_name: 'report.bin',
      size: parts.plan.sizeBytes,
      parts: parts.uploaded,
      ...(this.#request.resume === undefined ? {} : { resumed: true }),
      upload_duration_ms: 1000,
      sha256: null,
    });
  }

  #read(partNumber: number): string {
    if (this.#inode === undefined || this.#parts === undefined) throw new Error('read before it was opened');
    return crc32Of(partOf(this.#inode.now.content, this.#parts.plan, partNumber));
  }

  #isUnchanged(): boolean {
    if (this.#opened === undefined || !this.#differs(fingerprintOf(this.#opened))) return true;
    this.#fileChanged('it is no longer the version that was opened');
    return false;
  }

  #differs(from: Parameters<typeof versionDifferences>[0]): boolean {
    if (this.#inode === undefined) throw new Error('compared before it was opened');
    return versionDifferences(from, fingerprintOf(this.#inode.now), this.#policy).length > 0;
  }

  #fileChanged(how: string): void {
    this.#world.tally.count('agent found its file changed');
    this.#fail('file_changed', `The file changed: ${how}.`);
  }

  #fail(error: ErrorCode, message: string): void {
    this.#end({ status: 'failed', ...this.#about, error, message });
  }

  #end(final: Final): void {
    this.#stage = 'over';
    this.#final = final;
    this.#world.say(final);
  }

  #sayStalled(): void {
    this.#world.say({
      status: 'stalled',
      ...this.#about,
      reason: 'The store does not answer.',
      retry_in_ms: 5000,
    });
  }

  #sayResumed(): void {
    if (this.#opened === undefined || this.#parts === undefined) return;
    const fingerprint = fingerprintOf(this.#opened);
    this.#world.say({ status: 'resumed', ...this.#about, size: this.#parts.plan.sizeBytes, fingerprint });
  }

  #sayPrepared(): void {
    if (this.#opened === undefined || this.#parts === undefined) return;
    const { sizeBytes, chunkSize, partCount } = this.#parts.plan;
    this.#world.say({
      status: 'prepared',
      ...this.#about,
      file_name: 'report.bin',
      size: sizeBytes,
      chunk_size: chunkSize,
      part_count: partCount,
      fingerprint: fingerprintOf(this.#opened),
      source_modified_at: new Date(this.#opened.mtime).toISOString(),
      parts: this.#parts.firstWindow(WINDOW),
    });
  }

  get #about() {
    return { upload_id: this.uploadId, attempt: this.attempt };
  }
}
