import { BackhaulError, type ErrorCode } from '@backhaul/protocol';
import type { BackhaulClient } from '../backhaul-client.ts';
import { Deadline } from '../deadline.ts';
import { ApiError, ConnectionError, faultIn, networkReason } from '../errors.ts';

/** A failure to read from the object store that a retry can fix. */
export class ReadFailure extends Error {
  override readonly name = 'ReadFailure';
  /** Code of the error if all retries fail. */
  readonly code: ErrorCode;
  /** Minimum delay before a retry, if the store requested one. */
  readonly retryAfterMs: number;

  constructor(
    code: ErrorCode,
    message: string,
    options: ErrorOptions & { readonly retryAfterMs?: number } = {},
  ) {
    super(message, options);
    this.code = code;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}

/** The connection counts as lost after this time without data. */
const STALL_MS = 30_000;

const MAX_REDIRECTS = 5;

export interface ByteRange {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

interface Waiting {
  readonly deadline: Deadline;
  readonly signal: AbortSignal;
}

export interface StoredObjectOptions {
  readonly client: BackhaulClient;
  readonly uploadId: string;
  readonly sizeBytes: number;
}

/** A finished object in the store, read through presigned URLs that are renewed when they expire. */
export class StoredObject {
  readonly sizeBytes: number;
  readonly #client: BackhaulClient;
  readonly #uploadId: string;
  #url: Promise<string> | undefined;

  constructor({ client, uploadId, sizeBytes }: StoredObjectOptions) {
    this.sizeBytes = sizeBytes;
    this.#client = client;
    this.#uploadId = uploadId;
  }

  /**
   * Yields the bytes of a range as they arrive. May end early.
   *
   * @throws ReadFailure if a retry can help, otherwise BackhaulError or ApiError.
   */
  async *read(range: ByteRange, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    using deadline = new Deadline(STALL_MS, signal);
    try {
      const response = await this.#open(range, { deadline, signal });
      for await (const chunk of response.body ?? []) {
        // A slow reader must not count as a silent store.
        deadline.suspend();
        yield chunk;
        deadline.extend();
      }
    } catch (error) {
      signal.throwIfAborted();
      if (deadline.expired) {
        throw new ReadFailure('storage_unavailable', 'The object store sent nothing for 30 s.', {
          cause: error,
        });
      }
      throw asReadFailure(error);
    }
  }

  async #open(range: ByteRange, { deadline, signal }: Waiting): Promise<Response> {
    // The URL request is shared by all readers, so it must not end with one reader's deadline; the client has its own.
    deadline.suspend();
    const pending = (this.#url ??= this.#client.contentUrl(this.#uploadId, { signal }));
    const url = await pending.catch((error: unknown) => {
      this.#forget(pending);
      throw error;
    });
    deadline.extend();
    // An empty object cannot satisfy any range (RFC 9110, 14.1.2). No content coding: the stored bytes are counted.
    const headers: Record<string, string> = { 'accept-encoding': 'identity' };
    if (this.sizeBytes > 0) headers['range'] = `bytes=${range.start}-${range.end - 1}`;
    const response = await this.#fetchFollowing(new URL(url), headers, deadline.signal);
    const problem = this.#checkResponse(response, range);
    if (problem === undefined) return response;
    // An expired URL is refused with 403 or 400. If the reason is another one, the new URL is refused as well.
    if (refusals.has(response.status)) this.#forget(pending);
    await response.body?.cancel();
    throw problem;
  }

  #checkResponse(response: Response, range: ByteRange): Error | undefined {
    const { status, headers } = response;
    if (status === 200 && range.start === 0 && range.end === this.sizeBytes) return undefined;
    if (status === 206) {
      const expected = `bytes ${range.start}-${range.end - 1}/${this.sizeBytes}`;
      if (headers.get('content-range') === expected) return undefined;
      return new BackhaulError('checksum_mismatch', 'The stored object does not have the recorded size.');
    }
    if (status === 416) {
      return new BackhaulError('checksum_mismatch', 'The stored object is shorter than recorded.');
    }
    if (status === 404) return new BackhaulError('object_not_found');
    if (refusals.has(status)) {
      return new ReadFailure('storage_refused', `The object store refused the presigned URL (${status}).`);
    }
    if (status === 429 || status >= 500) {
      const seconds = Number(headers.get('retry-after') ?? 0);
      const retryAfterMs = Number.isFinite(seconds) ? Math.min(seconds, 60) * 1000 : 0;
      return new ReadFailure('storage_unavailable', `The object store responded with ${status}.`, {
        retryAfterMs,
      });
    }
    return new BackhaulError(
      'storage_refused',
      status === 200 ? 'The object store ignores Range.' : `The object store responded with ${status}.`,
    );
  }

  /** Follows redirects to another region or to HTTPS. Sends no token: the presigned URL is sufficient. */
  async #fetchFollowing(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
    let at = url;
    for (let followed = 0; ; followed += 1) {
      const response = await this.#client.fetch(at, { headers, signal, redirect: 'manual' });
      const location = redirects.has(response.status) ? response.headers.get('location') : null;
      if (location === null || followed === MAX_REDIRECTS || !URL.canParse(location, at.href))
        return response;
      await response.body?.cancel();
      at = new URL(location, at);
    }
  }

  /** Discards the URL, unless another reader has already requested a new one. */
  #forget(url: Promise<string>): void {
    if (this.#url === url) this.#url = undefined;
  }
}

const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

const refusals: ReadonlySet<number> = new Set([400, 401, 403]);

function asReadFailure(error: unknown): unknown {
  if (error instanceof ConnectionError) {
    return new ReadFailure('storage_unavailable', `No presigned URL: ${error.message}.`, { cause: error });
  }
  if (error instanceof ApiError && error.retryable && error.code !== 'upload_not_completed') {
    const retryAfterMs = error.retryAfterMs ?? 0;
    return new ReadFailure(error.code, error.detail, { cause: error, retryAfterMs });
  }
  const fault = faultIn(error);
  if (fault !== null) {
    return new ReadFailure('storage_unavailable', `The object store cannot be reached: ${fault}.`, {
      cause: error,
    });
  }
  const reason = networkReason(error);
  if (reason !== undefined) {
    const detail = `The connection to the object store was lost (${reason}).`;
    return new ReadFailure('storage_unavailable', detail, { cause: error });
  }
  return error;
}
