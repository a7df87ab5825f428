import { createHash } from 'node:crypto';
import { CHECKSUM_TRAITS, type Checksum, type ChecksumAlgorithm } from '../checksum/algorithm.ts';

/** Bytes to be stored. The fields may be read once the iteration has ended without an error. */
export interface PartContent extends AsyncIterable<Buffer> {
  readonly sizeBytes: number;
  /** Hex. */
  readonly md5: string;
  readonly checksum: Checksum | undefined;
}

/** What is computed of bytes that pass. */
export interface WantedDigests {
  /** By default true. Costs more than all else that is done to a part; without it, asking for it throws. */
  readonly md5?: boolean;
}

/** Hashes bytes while they pass. Can be iterated once. */
export class DigestedContent implements PartContent {
  readonly #source: AsyncIterable<Buffer>;
  readonly #algorithm: ChecksumAlgorithm | undefined;
  readonly #wantsMd5: boolean;
  #sizeBytes = 0;
  #md5: string | undefined;
  #checksum: Checksum | undefined;

  constructor(
    source: AsyncIterable<Buffer>,
    algorithm: ChecksumAlgorithm | undefined,
    { md5 = true }: WantedDigests = {},
  ) {
    this.#source = source;
    this.#algorithm = algorithm;
    this.#wantsMd5 = md5;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    const md5 = this.#wantsMd5 ? createHash('md5') : undefined;
    const running = this.#algorithm === undefined ? undefined : CHECKSUM_TRAITS[this.#algorithm].start();
    for await (const chunk of this.#source) {
      md5?.update(chunk);
      running?.update(chunk);
      this.#sizeBytes += chunk.length;
      yield chunk;
    }
    this.#md5 = md5?.digest('hex');
    if (this.#algorithm !== undefined && running !== undefined) {
      this.#checksum = { algorithm: this.#algorithm, value: running.digest().toString('base64') };
    }
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get md5(): string {
    if (this.#md5 === undefined) {
      throw new TypeError(
        this.#wantsMd5 ? 'The content has not been read to its end.' : 'The MD5 was not wanted.',
      );
    }
    return this.#md5;
  }

  get checksum(): Checksum | undefined {
    return this.#checksum;
  }
}
