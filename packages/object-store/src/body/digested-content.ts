import { createHash } from 'node:crypto';
import { CHECKSUM_TRAITS, type Checksum, type ChecksumAlgorithm } from '../checksum/algorithm.ts';

/** Bytes to store. The other fields are valid once the iteration has ended without an error. */
export interface PartContent extends AsyncIterable<Buffer> {
  readonly sizeBytes: number;
  /** MD5 in hexadecimal. */
  readonly md5: string;
  readonly checksum: Checksum | undefined;
}

/** Digests to compute. */
export interface DigestOptions {
  /** Default: true. Uses more CPU time than everything else done for a part; if false, reading `md5` throws. */
  readonly md5?: boolean;
}

interface ContentOptions extends DigestOptions {
  /** Called at the end, when all digests are known; throws if they differ from what the sender claims. */
  readonly verify?: (content: PartContent) => void;
}

/** Hashes bytes while they are iterated. Can be iterated only once. */
export class DigestedContent implements PartContent {
  readonly #source: AsyncIterable<Buffer>;
  readonly #algorithm: ChecksumAlgorithm | undefined;
  readonly #options: ContentOptions;
  #sizeBytes = 0;
  #md5: string | undefined;
  #checksum: Checksum | undefined;

  constructor(
    source: AsyncIterable<Buffer>,
    algorithm: ChecksumAlgorithm | undefined,
    options: ContentOptions = {},
  ) {
    this.#source = source;
    this.#algorithm = algorithm;
    this.#options = options;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    const md5 = this.#options.md5 === false ? undefined : createHash('md5');
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
    this.#options.verify?.(this);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get md5(): string {
    if (this.#md5 === undefined) {
      throw new TypeError(
        this.#options.md5 === false
          ? 'The MD5 was not requested.'
          : 'The content has not been read to its end.',
      );
    }
    return this.#md5;
  }

  get checksum(): Checksum | undefined {
    return this.#checksum;
  }
}
