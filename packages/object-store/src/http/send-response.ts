import type { ServerResponse } from 'node:http';
import type { S3Error } from '../errors.ts';
import type { AnswerBytes, S3Answer } from '../operation.ts';
import { renderErrorXml, renderXml } from '../xml.ts';

interface SendOptions {
  /** Longest wait for the client to take more bytes, in ms. */
  readonly stallTimeoutMs: number;
  readonly onBytes: (count: number) => void;
}

function setHeaders(response: ServerResponse, headers: S3Answer['headers'] = {}): void {
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) response.setHeader(name, value);
}

/** What is handed to the socket at once of a text: each piece has the stall time-out to itself. */
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
 * Waits until the operating system has taken what was written, and cuts the connection of a client that takes
 * nothing for too long.
 * @param subscribe calls back when that is so
 * @returns false if the client is gone
 */
async function taken(
  response: ServerResponse,
  stallTimeoutMs: number,
  subscribe: (done: () => void) => void,
): Promise<boolean> {
  if (response.destroyed) return false;
  await new Promise<void>((resolve) => {
    const settle = (): void => {
      clearTimeout(timer);
      response.off('close', settle);
      resolve();
    };
    const timer = setTimeout(() => {
      response.destroy();
      settle();
    }, stallTimeoutMs);
    response.once('close', settle);
    subscribe(settle);
  });
  return !response.destroyed;
}

/** @returns false if the client is gone */
async function sendChunk(response: ServerResponse, chunk: Buffer, options: SendOptions): Promise<boolean> {
  options.onBytes(chunk.length);
  if (response.write(chunk)) return !response.destroyed;
  return await taken(response, options.stallTimeoutMs, (done) => response.once('drain', done));
}

/**
 * Ends an answer once its bytes have left this process. Between its end and their leaving Node takes the
 * connection for idle, and would close it under them when the server stops.
 */
export async function endAnswer(response: ServerResponse, stallTimeoutMs: number): Promise<void> {
  if (response.headersSent && response.writableLength > 0) {
    if (!(await taken(response, stallTimeoutMs, (done) => response.write('', done)))) return;
  }
  await taken(response, stallTimeoutMs, (done) => response.end(done));
}

async function sendBytes(response: ServerResponse, body: AnswerBytes, options: SendOptions): Promise<void> {
  response.setHeader('content-length', body.sizeBytes);
  if (body.chunks === undefined) return;
  // The head goes out with the first chunk, so that a file which can't be read is still an error answer.
  for await (const chunk of body.chunks) {
    if (!(await sendChunk(response, chunk, options))) return;
  }
}

/** Writes an answer, all but its end: the caller may still have to take in the rest of the request's body. */
export async function sendAnswer(
  response: ServerResponse,
  answer: S3Answer,
  options: SendOptions,
): Promise<void> {
  response.statusCode = answer.status;
  setHeaders(response, answer.headers);
  if (answer.body === undefined) {
    if (answer.status !== 204) response.setHeader('content-length', 0);
    return;
  }
  if ('root' in answer.body) {
    await sendText(response, renderXml(answer.body.root, answer.body.content), options);
  } else await sendBytes(response, answer.body, options);
}

interface ErrorContext {
  readonly requestId: string;
  readonly resource: string;
  readonly head: boolean;
}

/** Writes a refusal, all but its end. HEAD and 304 have no body to hold the code. */
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
