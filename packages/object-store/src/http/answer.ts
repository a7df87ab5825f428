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

function sendText(response: ServerResponse, text: string, options: SendOptions): void {
  const bytes = Buffer.from(text);
  response.setHeader('content-type', 'application/xml');
  response.setHeader('content-length', bytes.length);
  // Written, not ended: the caller may still have to take in the rest of the request's body.
  response.write(bytes);
  options.onBytes(bytes.length);
}

/** Waits until the socket takes more. @returns false if the client is gone, or took nothing for too long */
async function drained(response: ServerResponse, stallTimeoutMs: number): Promise<boolean> {
  if (response.destroyed) return false;
  return await new Promise<boolean>((resolve) => {
    const settle = (ok: boolean) => (): void => {
      clearTimeout(timer);
      response.off('drain', onDrain).off('close', onClose);
      resolve(ok);
    };
    const onDrain = settle(true);
    const onClose = settle(false);
    const timer = setTimeout(onClose, stallTimeoutMs);
    response.on('drain', onDrain).on('close', onClose);
  });
}

async function sendBytes(response: ServerResponse, body: AnswerBytes, options: SendOptions): Promise<void> {
  response.setHeader('content-length', body.sizeBytes);
  if (body.chunks === undefined) return;
  // The head goes out with the first chunk, so that a file which can't be read is still an error answer.
  for await (const chunk of body.chunks) {
    options.onBytes(chunk.length);
    if (response.write(chunk)) continue;
    if (!(await drained(response, options.stallTimeoutMs))) {
      response.destroy();
      return;
    }
  }
}

/** Writes an answer, all but its end. */
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
  if ('root' in answer.body) sendText(response, renderXml(answer.body.root, answer.body.content), options);
  else await sendBytes(response, answer.body, options);
}

interface ErrorContext {
  readonly requestId: string;
  readonly resource: string;
  readonly head: boolean;
}

/** Writes a refusal, all but its end. HEAD and 304 have no body to hold the code. */
export function sendError(
  response: ServerResponse,
  error: S3Error,
  { requestId, resource, head, ...options }: ErrorContext & SendOptions,
): void {
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
  sendText(response, text, options);
}
