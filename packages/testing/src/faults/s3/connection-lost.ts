/** The client or the store has gone: nothing that a fault proxy could mend, or that is its fault. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
}
