import { createHash } from 'node:crypto';
import { CHECKSUM_TRAITS, type Checksum, type ChecksumAlgorithm } from '../checksum/algorithm.ts';

/** Bytes to be stored. The fields may be read once the iteration has ended without an error. */
export interface PartContent extends AsyncIterable<Buffer> {
  readonly sizeBytes: number;
  /** Hex. */
  readonly md5: string;
  readonly checksum: Checksum | undefined;
}

/** Hashes bytes while they pass. Can be iterated once. */
export class DigestedContent implements PartContent {
  readonly #source: AsyncIterable<Buffer>;
  readonly #algorithm: ChecksumAlgorithm | undefined;
  #sizeBytes = 0;
  #md5: string | undefined;
  #checksum: Checksum | undefined;

  constructor(source: AsyncIterable<Buffer>, algorithm: ChecksumAlgorithm | undefined) {
    this.#source = source;
    this.#algorithm = algorithm;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    const md5 = createHash('md5');
    const running = this.#algorithm === undefined ? undefined : CHECKSUM_TRAITS[this.#algorithm].start();
    for await (const chunk of this.#source) {
      md5.update(chunk);
      running?.update(chunk);
      this.#sizeBytes += chunk.length;
      yield chunk;
    }
    this.#md5 = md5.digest('hex');
    if (this.#algorithm !== undefined && running !== undefined) {
      this.#checksum = { algorithm: this.#algorithm, value: running.digest().toString('base64') };
    }
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get md5(): string {
    if (this.#md5 === undefined) throw new TypeError('The content has not been read to its end.');
    return this.#md5;
  }

  get checksum(): Checksum | undefined {
    return this.#checksum;
  }
}
