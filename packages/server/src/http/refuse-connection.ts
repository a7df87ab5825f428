import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { type BackhaulError, problemOf } from '@backhaul/protocol';

const RETRY_AFTER_SECONDS = 5;
/** Time that a refused client has to read the reason and close its side. */
const LINGER_MS = 2000;

/**
 * Responds without the HTTP server, which has released this connection, and closes it. `end()` alone closes one half:
 * a client that keeps the other would hold the descriptor indefinitely. Destroying it immediately could reset it
 * before the client has read the response (RFC 9112, section 9.6), so what it still sends is read and discarded for a
 * moment.
 */
export function refuseConnection(socket: Duplex, error: BackhaulError): void {
  if (socket.destroyed || socket.writableEnded) return;
  const problem = problemOf(error);
  const body = JSON.stringify(problem);
  const headers = [
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  if (problem.status === 401) headers.push('WWW-Authenticate: Bearer');
  if (problem.status === 429 || problem.status === 503) headers.push(`Retry-After: ${RETRY_AFTER_SECONDS}`);
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.resume();
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}\r\n${headers.join('\r\n')}\r\n\r\n${body}`,
  );
}
