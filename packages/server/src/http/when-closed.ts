/**
 * Aborts when an answer is out, or its reader has gone. Of the answer, not of the socket: a connection that is
 * kept open would collect a listener for each request.
 */
export function whenClosed(answer: NodeJS.EventEmitter): AbortSignal {
  const closed = new AbortController();
  answer.once('close', () => closed.abort());
  return closed.signal;
}
