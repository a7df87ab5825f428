import type { ServerResponse } from 'node:http';
import type { S3Error } from '../errors.ts';
import type { ResponseBytes, S3Response } from '../operations/operation.ts';
import { renderErrorXml, renderXml } from '../xml.ts';

interface SendOptions {
  /** Maximum time for the client to accept more bytes, in ms. */
  readonly stallTimeoutMs: number;
  readonly onBytes: (count: number) => void;
}

function setHeaders(response: ServerResponse, headers: S3Response['headers'] = {}): void {
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) response.setHeader(name, value);
}

/** Text is written to the socket in pieces of this size, so that the stall timeout applies to each piece. */
const TEXT_PIECE_BYTES = 64 * 1024;

async function sendText(response: ServerResponse, text: string, options: SendOptions): Promise<void> {
  const bytes = Buffer.from(text);
  response.setHeader('content-type', 'application/xml');
  response.setHeader('content-length', bytes.length);
  for (let at = 0; at < bytes.length; at += TEXT_PIECE_BYTES) {
    if (!(await sendChunk(response, bytes.subarray(at, at + TEXT_PIECE_BYTES), options))) return;
  }
}

/**
 * Waits until the operating system has accepted the written bytes; closes the connection if the client accepts nothing
 * for too long.
 * @param subscribe registers a callback for that event
 * @returns false if the client has disconnected
 */
async function taken(
  response: ServerResponse,
  stallTimeoutMs: number,
  subscribe: (done: () => void) => void,
): Promise<boolean> {
  if (response.destroyed) return false;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      response.off('close', done);
      resolve();
    };
    const timer = setTimeout(() => {
      response.destroy();
      done();
    }, stallTimeoutMs);
    response.once('close', done);
    subscribe(done);
  });
  return !response.destroyed;
}

/** @returns false if the client has disconnected */
async function sendChunk(response: ServerResponse, chunk: Buffer, options: SendOptions): Promise<boolean> {
  options.onBytes(chunk.length);
  if (response.write(chunk)) return !response.destroyed;
  return await taken(response, options.stallTimeoutMs, (done) => response.once('drain', done));
}

/**
 * Ends a response after all its bytes have left this process. If it was ended earlier, Node.js would consider the
 * connection idle and close it with unsent bytes when the server stops.
 */
export async function endResponse(response: ServerResponse, stallTimeoutMs: number): Promise<void> {
  if (response.headersSent && response.writableLength > 0) {
    if (!(await taken(response, stallTimeoutMs, (done) => response.write('', done)))) return;
  }
  await taken(response, stallTimeoutMs, (done) => response.end(done));
}

async function sendBytes(response: ServerResponse, body: ResponseBytes, options: SendOptions): Promise<void> {
  response.setHeader('content-length', body.sizeBytes);
  if (body.chunks === undefined) return;
  // The headers are sent with the first chunk, so that an unreadable file still results in an error response.
  for await (const chunk of body.chunks) {
    if (!(await sendChunk(response, chunk, options))) return;
  }
}

/** Writes a response without ending it: the caller may still have to read the rest of the request's body. */
export async function sendResponse(
  response: ServerResponse,
  content: S3Response,
  options: SendOptions,
): Promise<void> {
  response.statusCode = content.status;
  setHeaders(response, content.headers);
  if (content.body === undefined) {
    if (content.status !== 204) response.setHeader('content-length', 0);
    return;
  }
  if ('root' in content.body) {
    await sendText(response, renderXml(content.body.root, content.body.content), options);
  } else await sendBytes(response, content.body, options);
}

interface ErrorContext {
  readonly requestId: string;
  readonly resource: string;
  readonly head: boolean;
}

/** Writes an error response without ending it. Responses to HEAD and with 304 have no body for the code. */
export async function sendError(
  response: ServerResponse,
  error: S3Error,
  { requestId, resource, head, ...options }: ErrorContext & SendOptions,
): Promise<void> {
  response.statusCode = error.status;
  if (error.code === 'NotModified') {
    response.setHeader('etag', `"${error.details['ETag'] ?? ''}"`);
    return;
  }
  if (head) {
    response.setHeader('content-length', 0);
    return;
  }
  const { code, message, details } = error;
  const text = renderErrorXml({
    Code: code,
    Message: message,
    ...details,
    Resource: resource,
    RequestId: requestId,
  });
  await sendText(response, text, options);
}
