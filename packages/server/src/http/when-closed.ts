/**
 * Aborts when a response is finished or its reader has disconnected. Listens on the response, not the socket: a
 * keep-alive connection would collect a listener for each request.
 */
export function whenClosed(response: NodeJS.EventEmitter): AbortSignal {
  const closed = new AbortController();
  response.once('close', () => closed.abort());
  return closed.signal;
}
