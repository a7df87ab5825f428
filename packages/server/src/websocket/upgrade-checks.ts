import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { BackhaulError, CONNECT_PATH, SUBPROTOCOL } from '@backhaul/protocol';

/** Required content of an agent's certificate: `client_id`, the name in its token; `none`, only the CA's signature. */
export type ClientCertificateMatch = 'client_id' | 'none';

/** @throws BackhaulError unless the request is for the agents' path and protocol. */
export function requireAgentProtocol(request: IncomingMessage): void {
  const path = request.url?.split('?', 1)[0];
  if (path !== CONNECT_PATH) {
    throw new BackhaulError('not_found', `Agents connect to ${CONNECT_PATH}.`);
  }
  const offered = request.headers['sec-websocket-protocol']?.split(',').map((name) => name.trim()) ?? [];
  if (!offered.includes(SUBPROTOCOL)) {
    throw new BackhaulError('invalid_request', `The WebSocket subprotocol must be ${SUBPROTOCOL}.`);
  }
}

/** @throws BackhaulError `unauthorized` unless a CA in `TLS_CLIENT_CA_FILE` has signed the peer's certificate. */
export function requireClientCertificate({ socket }: IncomingMessage): void {
  if (socket instanceof TLSSocket && socket.authorized) return;
  throw new BackhaulError(
    'unauthorized',
    'Agents must present a client certificate signed by a CA in TLS_CLIENT_CA_FILE.',
    { reason: 'certificate' },
  );
}

/**
 * The certificate's name must match the token's: otherwise a machine of the fleet could use its certificate with the
 * stolen token of another. On a resumed TLS session the certificate is the one of the session's first handshake,
 * whose key was proven there, whatever the peer would present now.
 *
 * @throws BackhaulError `unauthorized`; the message names the expected name.
 */
export function requireCertificateOf(clientId: string, { socket }: IncomingMessage): void {
  const names = socket instanceof TLSSocket ? certificateNames(socket) : [];
  if (names.includes(clientId)) return;
  const shown = names.length === 0 ? 'has no name' : `is for ${names.slice(0, 5).map(quoted).join(', ')}`;
  throw new BackhaulError(
    'unauthorized',
    `The token is for "${clientId}", but the client certificate ${shown}. Issue one with the DNS name or, without DNS names, the common name "${clientId}", or set TLS_CLIENT_MATCH=none.`,
    { reason: 'certificate' },
  );
}

/** Its DNS names, or its common name if it has none (RFC 6125, section 6.4.4). */
function certificateNames(socket: TLSSocket): string[] {
  const { subject, subjectaltname } = socket.getPeerCertificate();
  const dnsNames = subjectaltname === undefined ? [] : dnsNamesOf(subjectaltname);
  if (dnsNames.length > 0) return dnsNames;
  // Several common names are an array, and it is unclear which one counts.
  const commonName: unknown = (subject as { CN?: unknown } | undefined)?.CN;
  return typeof commonName === 'string' ? [commonName] : [];
}

/** Node writes names with a comma or a quote as JSON strings, so that no name can look like two. */
export function dnsNamesOf(subjectAltName: string): string[] {
  const entries = subjectAltName.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?=, |$)/gy);
  return [...entries].flatMap(([, type, name = '']) =>
    type === 'DNS' && !name.startsWith('"') ? [name] : [],
  );
}

function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 64));
}
