import { randomBytes } from 'node:crypto';
import type { S3Client } from '@aws-sdk/client-s3';
import { type S3Target, type S3TargetOptions, s3Client } from '../../../harness/object-store.ts';
import { Program, logged } from '../../../harness/program.ts';

const BUCKET = 'discarding';

/**
 * Incoming bytes are garbage at once. A large young generation is collected by marking the whole heap; with the small
 * heap that Node.js starts with, and returns to when idle, this happens thirty times a second, which is half of this
 * process's work. So small a young generation is collected faster by one thread than with helper threads, which must be
 * woken and take CPU time from the sender.
 */
const NODE_FLAGS = ['--max-semi-space-size=1', '--initial-old-space-size=256', '--single-threaded-gc'];
/**
 * glibc returns the end of its heap as soon as it is free, and requests it again for the next bytes. Whether this
 * happens depends on what lies at the end: one GiB cost 50,000 page faults in some processes and 20 in others.
 */
const MALLOC = { MALLOC_TRIM_THRESHOLD_: String(256 * 1024 * 1024) };

/**
 * A store for files of any size, as a separate process. It checks signatures, sizes and checksums, lists parts and
 * completes uploads like the embedded store, but discards the bytes. ETags are not MD5s if parts carry another
 * checksum. It refuses GetObject, PutObject and copies.
 *
 *     await using stage = await Stage.start({ s3: DiscardingStore.start });
 */
export class DiscardingStore implements S3Target {
  readonly endpoint: string;
  readonly bucket = BUCKET;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly isEmbedded = false;
  readonly embedded = undefined;
  readonly client: S3Client;
  readonly #program: Program;

  private constructor(program: Program, at: { endpoint: string; keys: { id: string; secret: string } }) {
    this.#program = program;
    this.endpoint = at.endpoint;
    this.accessKeyId = at.keys.id;
    this.secretAccessKey = at.keys.secret;
    this.client = s3Client(at.endpoint, at.keys.id, at.keys.secret);
  }

  /** @param dataDirectory Directory for metadata: some kilobytes for each upload. */
  static start(this: void, dataDirectory: string, options: S3TargetOptions = {}): Promise<DiscardingStore> {
    return DiscardingStore.#start(dataDirectory, options, []);
  }

  /** Starts the fastest variant, which trusts the sender and checks no part larger than 64 KiB. */
  static startTrusting(
    this: void,
    dataDirectory: string,
    options: S3TargetOptions = {},
  ): Promise<DiscardingStore> {
    return DiscardingStore.#start(dataDirectory, options, ['--trusting']);
  }

  static async #start(
    dataDirectory: string,
    { accessLog }: S3TargetOptions,
    flags: readonly string[],
  ): Promise<DiscardingStore> {
    const keys = { id: 'TESTKEY', secret: randomBytes(20).toString('hex') };
    const program = new Program('discarding-store', {
      nodeFlags: NODE_FLAGS,
      args: [
        ...['--data', dataDirectory, '--bucket', BUCKET],
        ...(accessLog === undefined ? [] : ['--access-log', accessLog]),
        ...flags,
      ],
      env: {
        ...MALLOC,
        BACKHAUL_STORE_ACCESS_KEY: keys.id,
        BACKHAUL_STORE_SECRET_KEY: keys.secret,
      },
    });
    try {
      const { url } = await program.line(logged('listening'));
      return new DiscardingStore(program, { endpoint: String(url), keys });
    } catch (error) {
      await program.stop();
      throw error;
    }
  }

  /** Process ID, for measurements. */
  get pid(): number | undefined {
    return this.#program.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.destroy();
    await this.#program.stop();
  }
}
