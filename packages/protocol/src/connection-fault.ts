/** Explanation of a failed connection with the setting to change; shared by agent, command line and server. */
export interface ConnectionFault {
  /** The cause and what to change, as a clause without a full stop. */
  readonly sentence: string;
  /** Whether the fault persists until something is changed, so that a quick retry is useless. */
  readonly isLasting: boolean;
}

export interface FaultContext {
  /** Requested host and port. */
  readonly host: string;
  /** Setting of the address, such as `--server-url`. */
  readonly addressSetting: string;
  /** Setting for additional authorities, such as `--ca-file or NODE_EXTRA_CA_CERTS`. */
  readonly authoritySetting: string;
  readonly proxy: { readonly variable: string; readonly address: string } | null;
}

/** Fields of Node.js's network errors, and of errors with one as their cause. */
interface NetworkError {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly statusCode?: unknown;
  readonly cause?: unknown;
  readonly cert?: { readonly subjectaltname?: unknown };
}

/** @returns null if the error is not in the table. */
export function explainConnectionFault(error: unknown, context: FaultContext): ConnectionFault | null {
  const found = networkErrorOf(error);
  if (found === null) return null;
  const { code } = found;
  if (code === 'ERR_PROXY_TUNNEL') return tunnelFault(found, context);
  // The error of Node.js does not say that the failed connection was that to the proxy.
  if (context.proxy !== null && neverConnected[code] !== undefined) {
    const { variable, address } = context.proxy;
    return passing(
      `the proxy ${address} cannot be reached (${neverConnected[code]}): check ${variable}, and that the proxy is running`,
    );
  }
  return ofCertificate(found, context) ?? ofConnection(found, context);
}

/** Finds the error with a code: some layers wrap network errors. */
function networkErrorOf(error: unknown): (NetworkError & { readonly code: string }) | null {
  for (let at = error as NetworkError | null | undefined; typeof at === 'object' && at !== null;) {
    // A name with several addresses, all of which failed.
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
  EAI_AGAIN: 'DNS does not respond',
};

function tunnelFault({ statusCode }: NetworkError, { host, proxy }: FaultContext): ConnectionFault {
  const { variable = 'HTTPS_PROXY', address = '' } = proxy ?? {};
  const name = `the proxy ${address}`.trimEnd();
  switch (statusCode) {
    // tinyproxy responds with 401 to a wrong password.
    case 401:
    case 407:
      return lasting(
        `${name} asks for a user name and password, or refuses those in ${variable}: set ${variable}=http://USER:PASSWORD@HOST:PORT (special characters percent-encoded)`,
      );
    case 403:
    case 405:
      return lasting(
        `${name} refuses to connect to ${host} (${statusCode}): allow it in the proxy, or add the host to NO_PROXY`,
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
  { host, addressSetting, authoritySetting }: FaultContext,
): ConnectionFault | null {
  if (untrusted.has(code)) {
    return lasting(
      `the certificate of ${host} is signed by an authority that is not trusted, such as a private one or a proxy that inspects TLS: add the authority's certificate with ${authoritySetting}`,
    );
  }
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return lasting(
        `the certificate of ${host} has expired: renew it, or correct the clock of this machine`,
      );
    case 'CERT_NOT_YET_VALID':
      return lasting(`the certificate of ${host} is not valid yet: correct the clock of this machine`);
    case 'ERR_TLS_CERT_ALTNAME_INVALID': {
      const names =
        typeof cert?.subjectaltname === 'string' ? ` (it is for ${cert.subjectaltname.slice(0, 200)})` : '';
      return lasting(
        `the certificate of ${host} is for another name${names}: use one of its names in ${addressSetting}`,
      );
    }
    case 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED':
    case 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE':
      return lasting(
        `${host} ended the TLS handshake: it may require a client certificate, or support only other versions of TLS`,
      );
    default:
      return null;
  }
}

function ofConnection(
  { code, message }: NetworkError & { readonly code: string },
  { host, addressSetting, proxy }: FaultContext,
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
        `DNS does not respond, so the address of ${host} is unknown: check the network, and ${addressSetting}`,
      );
    case 'ECONNREFUSED':
      return passing(`nothing listens at ${host}: check ${addressSetting}, and that the server is running`);
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

/** OpenSSL's reason, except "wrong version number", which the sentence already explains. */
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
