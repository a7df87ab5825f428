import { createHash } from 'node:crypto';
import { S3Error } from '../errors.ts';
import type { Authentication } from '../signature/authenticate.ts';
import { sameSignature, sha256Hex, signText } from '../signature/sigv4.ts';

/** Chunk headers and trailers are far shorter than this. */
const LINE_LIMIT_BYTES = 4096;
const TRAILER_LIMIT = 16;
const CRLF = Buffer.from('\r\n');

/** Reads lines and bytes from a stream of arbitrary pieces, buffering only the current piece. */
class PieceReader {
  readonly #pieces: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(pieces: AsyncIterable<Buffer>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  async close(): Promise<void> {
    await this.#pieces.return?.();
  }

  async #more(): Promise<boolean> {
    const next = await this.#pieces.next();
    if (next.done === true) return false;
    this.#rest = this.#rest.length === 0 ? next.value : Buffer.concat([this.#rest, next.value]);
    return true;
  }

  /** Reads a line without its CRLF. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf(CRLF);
      if (end > LINE_LIMIT_BYTES || (end === -1 && this.#rest.length > LINE_LIMIT_BYTES)) {
        throw new S3Error('InvalidRequest', 'A chunk header or trailer is too long.');
      }
      if (end !== -1) {
        const line = this.#rest.toString('latin1', 0, end);
        this.#rest = this.#rest.subarray(end + CRLF.length);
        return line;
      }
      if (!(await this.#more())) throw new S3Error('IncompleteBody');
    }
  }

  /** Reads the next bytes, at least one and at most `limitBytes`. */
  async take(limitBytes: number): Promise<Buffer> {
    while (this.#rest.length === 0) if (!(await this.#more())) throw new S3Error('IncompleteBody');
    const taken = this.#rest.subarray(0, limitBytes);
    this.#rest = this.#rest.subarray(taken.length);
    return taken;
  }

  async atEnd(): Promise<boolean> {
    while (this.#rest.length === 0) if (!(await this.#more())) return true;
    return false;
  }
}

/** Each chunk's signature covers the previous signature, so chunks cannot be reordered, dropped or replaced. */
class SignatureChain {
  readonly #authentication: Authentication;
  #previous: string;

  constructor(authentication: Authentication) {
    this.#authentication = authentication;
    this.#previous = authentication.signature;
  }

  #check(kind: string, hashes: readonly string[], given: string): void {
    const { amzDate, scope, signingKey } = this.#authentication;
    const text = [`AWS4-HMAC-SHA256-${kind}`, amzDate, scope, this.#previous, ...hashes].join('\n');
    const expected = signText(signingKey, text);
    if (!sameSignature(expected, given)) throw new S3Error('SignatureDoesNotMatch');
    this.#previous = expected;
  }

  checkChunk(chunkHash: string, given: string): void {
    this.#check('PAYLOAD', [sha256Hex(''), chunkHash], given);
  }

  checkTrailers(canonicalTrailers: string, given: string): void {
    this.#check('TRAILER', [sha256Hex(canonicalTrailers)], given);
  }
}

interface AwsChunkedOptions {
  /** Set if the chunks are signed. */
  readonly authentication: Authentication | undefined;
  /** Names in `x-amz-trailer`, in lower case; undefined if the payload has no trailers. */
  readonly trailerNames: readonly string[] | undefined;
}

/**
 * Decodes an `aws-chunked` body: `size[;chunk-signature=…] CRLF bytes CRLF … 0 CRLF [trailers] CRLF`.
 * A chunk's bytes are passed on before its signature is checked, so the caller must not commit them before the end.
 * Source: "Signature calculations: transferring payload in multiple chunks" and "… with trailing headers",
 * Amazon S3 API Reference.
 * @returns the trailers, by lower-case name, through the callback before the iteration ends
 */
export async function* decodeAwsChunked(
  body: AsyncIterable<Buffer>,
  { authentication, trailerNames }: AwsChunkedOptions,
  onTrailers: (trailers: ReadonlyMap<string, string>) => void,
): AsyncGenerator<Buffer, void, undefined> {
  const reader = new PieceReader(body);
  const chain = authentication === undefined ? undefined : new SignatureChain(authentication);
  try {
    for (;;) {
      const header = /^([0-9a-fA-F]{1,10})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(await reader.line());
      if (header === null) throw new S3Error('InvalidRequest', 'A chunk header is not well-formed.');
      const sizeBytes = Number.parseInt(header[1] ?? '', 16);
      const hash = chain === undefined ? undefined : createHash('sha256');
      for (let left = sizeBytes; left > 0;) {
        const bytes = await reader.take(left);
        hash?.update(bytes);
        left -= bytes.length;
        yield bytes;
      }
      if (hash !== undefined) chain?.checkChunk(hash.digest('hex'), header[2] ?? '');
      if (sizeBytes === 0) break;
      if ((await reader.line()) !== '')
        throw new S3Error('InvalidRequest', 'A chunk is longer than its header says.');
    }
    onTrailers(await readTrailers(reader, trailerNames ?? [], chain));
    if (!(await reader.atEnd())) throw new S3Error('InvalidRequest', 'Bytes follow the last chunk.');
  } finally {
    await reader.close();
  }
}

async function readTrailers(
  reader: PieceReader,
  names: readonly string[],
  chain: SignatureChain | undefined,
): Promise<ReadonlyMap<string, string>> {
  const trailers = new Map<string, string>();
  let signature: string | undefined;
  for (let line = await reader.line(); line !== ''; line = await reader.line()) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (colon === -1 || trailers.has(name) || trailers.size >= TRAILER_LIMIT) {
      throw new S3Error('MalformedTrailerError');
    }
    if (name === 'x-amz-trailer-signature') signature = value;
    else trailers.set(name, value);
  }
  if (trailers.size !== names.length || names.some((name) => !trailers.has(name))) {
    throw new S3Error('MalformedTrailerError', 'The trailers differ from those announced in x-amz-trailer.');
  }
  if (chain !== undefined && names.length > 0) {
    const canonical = [...trailers].map(([name, value]) => `${name}:${value}\n`).join('');
    chain.checkTrailers(canonical, signature ?? '');
  }
  return trailers;
}
