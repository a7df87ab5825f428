/** The client or the store has disconnected; the fault proxy neither caused this nor can fix it. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
}
