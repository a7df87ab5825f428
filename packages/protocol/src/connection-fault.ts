/** Why a connection failed, for a person who can change a setting; one table for agent, command line and server. */
export interface ConnectionFault {
  /** A clause without a full stop; names the cause and what to change. */
  readonly sentence: string;
  /** It stays until somebody changes something: no use in trying again within seconds. */
  readonly isLasting: boolean;
}

export interface FaultPlace {
  /** Host and port as they were asked for. */
  readonly host: string;
  /** Where the address is set, as its user spells it: `--server-url`. */
  readonly addressSetting: string;
  /** What names further authorities: `--ca-file or NODE_EXTRA_CA_CERTS`. */
  readonly authoritySetting: string;
  readonly proxy: { readonly variable: string; readonly address: string } | null;
}

/** What is looked at: Node.js's errors, and those that carry one as their cause. */
interface NetworkError {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly statusCode?: unknown;
  readonly cause?: unknown;
  readonly cert?: { readonly subjectaltname?: unknown };
}

/** @returns null for what is not in the table. */
export function explainConnectionFault(error: unknown, place: FaultPlace): ConnectionFault | null {
  const found = networkErrorOf(error);
  if (found === null) return null;
  const { code } = found;
  if (code === 'ERR_PROXY_TUNNEL') return tunnelFault(found, place);
  // Node.js reports what it could not connect to without saying that it was the proxy.
  if (place.proxy !== null && neverConnected[code] !== undefined) {
    const { variable, address } = place.proxy;
    return passing(
      `the proxy ${address} cannot be reached (${neverConnected[code]}): check ${variable}, and that the proxy runs`,
    );
  }
  return ofCertificate(found, place) ?? ofConnection(found, place);
}

/** The innermost error with a code: some layers wrap what the network said. */
function networkErrorOf(error: unknown): (NetworkError & { readonly code: string }) | null {
  for (let at = error as NetworkError | null | undefined; typeof at === 'object' && at !== null;) {
    // Of a name with several addresses, each of which failed.
    const first = 'errors' in at && Array.isArray(at.errors) ? (at.errors[0] as unknown) : undefined;
    if (typeof at.code === 'string') return at as NetworkError & { readonly code: string };
    at = (at.cause ?? first) as NetworkError | undefined;
  }
  return null;
}

const neverConnected: Readonly<Record<string, string | undefined>> = {
  ECONNREFUSED: 'nothing listens there',
  EHOSTUNREACH: 'no route to it',
  ENETUNREACH: 'no route to it',
  ENOTFOUND: 'its name is unknown',
  EAI_AGAIN: 'DNS does not answer',
};

function tunnelFault({ statusCode }: NetworkError, { host, proxy }: FaultPlace): ConnectionFault {
  const { variable = 'HTTPS_PROXY', address = '' } = proxy ?? {};
  const name = `the proxy ${address}`.trimEnd();
  switch (statusCode) {
    // tinyproxy answers 401 to a wrong password.
    case 401:
    case 407:
      return lasting(
        `${name} asks for a user name and password, or refuses those in ${variable}: write them as ${variable}=http://USER:PASSWORD@HOST:PORT (special characters percent-encoded)`,
      );
    case 403:
    case 405:
      return lasting(
        `${name} refuses to connect to ${host} (${statusCode}): have it allowed there, or name the host in NO_PROXY`,
      );
    case undefined:
      return passing(`${name} closed the connection without a response: check ${variable}`);
    default:
      return passing(`${name} could not connect to ${host} (${String(statusCode)})`);
  }
}

const untrusted = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
]);

function ofCertificate(
  { code, cert }: NetworkError & { readonly code: string },
  { host, addressSetting, authoritySetting }: FaultPlace,
): ConnectionFault | null {
  if (untrusted.has(code)) {
    return lasting(
      `the certificate of ${host} is signed by an authority that is not trusted here: a private one, or that of a proxy which inspects TLS; name the file with its certificate by ${authoritySetting}`,
    );
  }
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return lasting(
        `the certificate of ${host} has expired: renew it there, or set the clock of this machine`,
      );
    case 'CERT_NOT_YET_VALID':
      return lasting(`the certificate of ${host} is not valid yet: set the clock of this machine`);
    case 'ERR_TLS_CERT_ALTNAME_INVALID': {
      const names =
        typeof cert?.subjectaltname === 'string' ? ` (it is for ${cert.subjectaltname.slice(0, 200)})` : '';
      return lasting(
        `the certificate of ${host} is for another name${names}: write a name that it is for into ${addressSetting}`,
      );
    }
    case 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED':
    case 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE':
      return lasting(
        `${host} ended the TLS handshake: it may ask for a client certificate, or support other versions of TLS only`,
      );
    default:
      return null;
  }
}

function ofConnection(
  { code, message }: NetworkError & { readonly code: string },
  { host, addressSetting, proxy }: FaultPlace,
): ConnectionFault | null {
  const through = proxy === null ? '' : ` through the proxy ${proxy.address} (${proxy.variable})`;
  switch (code) {
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return lasting(
        `${host} does not speak TLS: use its TLS port in ${addressSetting}, or an address with ws:// or http:// if it has none${detailOf(message)}`,
      );
    case 'ENOTFOUND':
      return passing(`DNS has no address for ${host}: check ${addressSetting}`);
    case 'EAI_AGAIN':
      return passing(
        `DNS does not answer, so ${host} has no address: check the network, and ${addressSetting}`,
      );
    case 'ECONNREFUSED':
      return passing(`nothing listens at ${host}: check ${addressSetting}, and that it runs`);
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return passing(
        `there is no route to ${host}: check the network, and whether a proxy is needed (HTTPS_PROXY)`,
      );
    case 'ETIMEDOUT':
      return passing(
        `${host} did not respond in time${through}: check the network, firewalls${proxy === null ? ', and whether a proxy is needed (HTTPS_PROXY)' : ', and the proxy'}`,
      );
    case 'ECONNRESET':
      return passing(
        `${host} closed the connection${through} without a response: a firewall or proxy may be in the way, or the port expects TLS`,
      );
    default:
      if (!code.startsWith('HPE_')) return null;
      return lasting(
        `${host} does not speak HTTP: check ${addressSetting}; if the port expects TLS, use wss:// or https://`,
      );
  }
}

/** What OpenSSL says besides "wrong version number", which the sentence explains already. */
function detailOf(message: unknown): string {
  const [, reason] = /SSL routines:[^:]*:([^:]+):/.exec(String(message)) ?? [];
  return reason === undefined || reason === 'wrong version number' ? '' : ` (${reason})`;
}

function passing(sentence: string): ConnectionFault {
  return { sentence, isLasting: false };
}

function lasting(sentence: string): ConnectionFault {
  return { sentence, isLasting: true };
}
