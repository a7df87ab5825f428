import { randomBytes } from 'node:crypto';
import type { S3Client } from '@aws-sdk/client-s3';
import { type S3Target, type S3TargetOptions, s3Client } from '../../object-store.ts';
import { Program, logged } from '../../program.ts';

const BUCKET = 'discarding';

/**
 * What comes in is garbage at once. With a large young generation it is collected by marking the whole heap, and with
 * the small heap that Node.js starts with, and comes back to when idle, the same happens thirty times a second: half
 * of all this process does. So small a young generation is collected faster alone than with helpers, who have to be
 * woken and take their time from the sender.
 */
const NODE_FLAGS = ['--max-semi-space-size=1', '--initial-old-space-size=256', '--single-threaded-gc'];
/**
 * glibc gives the end of its heap back as soon as it is free, and asks for it anew for the next bytes. Whether that
 * happens hangs on what lies at the end: a GiB cost 50,000 page faults in some processes, and 20 in others.
 */
const MALLOC = { MALLOC_TRIM_THRESHOLD_: String(256 * 1024 * 1024) };

/**
 * A store for files of any size, as a process of its own: it checks signatures, sizes and checksums, lists parts and
 * completes uploads as the embedded store does, and throws the bytes away. ETags are no MD5s where parts carry
 * another checksum. It refuses to give an object, or to take one whole.
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

  /** @param dataDirectory Where it keeps what is not bytes: some kilobytes for each upload. */
  static start(this: void, dataDirectory: string, options: S3TargetOptions = {}): Promise<DiscardingStore> {
    return DiscardingStore.#start(dataDirectory, options, []);
  }

  /** One that checks no part of more than 64 KiB, and takes the sender's word: as fast as it can be made. */
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

  /** To measure it by. */
  get pid(): number | undefined {
    return this.#program.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.destroy();
    await this.#program.stop();
  }
}
