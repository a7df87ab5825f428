import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { BackhaulError } from '@backhaul/protocol';

/** What an agent's certificate has to show: `client_id`, the name of its token too; `none`, only who signed it. */
export type ClientCertificateMatch = 'client_id' | 'none';

/** @throws BackhaulError `unauthorized` unless an authority in `TLS_CLIENT_CA_FILE` has signed the peer's certificate. */
export function requireClientCertificate({ socket }: IncomingMessage): void {
  if (socket instanceof TLSSocket && socket.authorized) return;
  throw new BackhaulError(
    'unauthorized',
    'Agents must show a client certificate that an authority in TLS_CLIENT_CA_FILE has signed.',
    { reason: 'certificate' },
  );
}

/**
 * The certificate's name must be that of the token: a machine with a certificate of the fleet and the stolen token of
 * another machine is neither. On a resumed TLS session the certificate is the one of the session's first handshake,
 * whose key was proved there, whatever the peer would show now.
 *
 * @throws BackhaulError `unauthorized`; the message names the name that was expected.
 */
export function requireCertificateOf(clientId: string, { socket }: IncomingMessage): void {
  const names = socket instanceof TLSSocket ? certificateNames(socket) : [];
  if (names.includes(clientId)) return;
  const shown = names.length === 0 ? 'has no name' : `is of ${names.slice(0, 5).map(quoted).join(', ')}`;
  throw new BackhaulError(
    'unauthorized',
    `The token is of "${clientId}", but the client certificate ${shown}. Issue one with the DNS name or, without DNS names, the common name "${clientId}", or set TLS_CLIENT_MATCH=none.`,
    { reason: 'certificate' },
  );
}

/** Its DNS names, or its common name if it has none (RFC 6125, section 6.4.4). */
function certificateNames(socket: TLSSocket): string[] {
  const { subject, subjectaltname } = socket.getPeerCertificate();
  const dnsNames = subjectaltname === undefined ? [] : dnsNamesOf(subjectaltname);
  if (dnsNames.length > 0) return dnsNames;
  // Several are an array; which of them would count?
  const commonName: unknown = (subject as { CN?: unknown } | undefined)?.CN;
  return typeof commonName === 'string' ? [commonName] : [];
}

/** Node writes names that hold a comma or a quote as JSON strings, so that no name can look like two. */
export function dnsNamesOf(subjectAltName: string): string[] {
  const entries = subjectAltName.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?=, |$)/gy);
  return [...entries].flatMap(([, type, name = '']) =>
    type === 'DNS' && !name.startsWith('"') ? [name] : [],
  );
}

function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 64));
}
