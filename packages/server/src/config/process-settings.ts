import { logFormats } from '@backhaul/program';
import { MAX_WAIT_SECONDS } from '@backhaul/protocol';
import { addressRanges, anyText, matching, oneOf, type SettingRows, wholeNumber } from './setting.ts';

export const listeningSettings = {
  HOST: {
    schema: matching(/^[A-Za-z0-9.:-]{1,253}$/, 'must be an IP address or a host name, without a port'),
    unset: '`127.0.0.1` with --dev, otherwise `0.0.0.0`.',
    secret: false,
    flag: 'host',
    description: 'Address to listen on. With --dev only the flag --host counts.',
    example: '127.0.0.1',
  },
  PORT: {
    schema: wholeNumber(0, 65_535),
    default: '8080',
    secret: false,
    flag: 'port',
    description: 'Port to listen on; 0 selects a free one.',
    example: '8443',
  },
  TRUSTED_PROXIES: {
    schema: addressRanges,
    unset: 'None: X-Forwarded-For is ignored, because every client can write it.',
    secret: false,
    description:
      'Reverse proxies in front of the server: addresses and ranges such as 10.0.0.0/8, separated by commas or spaces. Only their X-Forwarded-For determines the address of a client, in the log, in the status of agents and for MAX_UNAUTHENTICATED_PER_ADDRESS.',
    example: '10.0.0.0/8,fd00::/8',
  },
  PROXY_WAIT_SECONDS: {
    schema: wholeNumber(1, MAX_WAIT_SECONDS),
    default: '50',
    secret: false,
    description:
      'Maximum wait in seconds for `Prefer: wait=N` if the request came through a reverse proxy, because most proxies abort a request after 60 seconds without a response. The response is then 202, with `Preference-Applied`; `@backhaul/client` repeats the request by itself. Raise it together with the time-out of the proxy (nginx: proxy_read_timeout).',
    example: '290',
  },
} as const satisfies SettingRows;

export const limitSettings = {
  MAX_CONNECTIONS: {
    schema: wholeNumber(0, 10_000_000),
    unset:
      'On Linux, the limit of open files of the process (`ulimit -n`) minus 128, but at least half of it; on other systems no limit.',
    secret: false,
    description:
      'Maximum number of connections to the server, including agents. Further ones are closed immediately. 0 is no limit.',
    example: '20000',
  },
  MAX_UNAUTHENTICATED_CONNECTIONS: {
    schema: wholeNumber(0, 10_000_000),
    unset: '2048, but at most half of MAX_CONNECTIONS.',
    secret: false,
    description:
      'Maximum number of connections without a valid token so far. Above the limit, the oldest connection of the address with the most connections is closed if it is at least 3 seconds old, else the newest. 0 is no limit.',
    example: '8192',
  },
  MAX_UNAUTHENTICATED_PER_ADDRESS: {
    schema: wholeNumber(0, 10_000_000),
    unset: '1024, but at most a quarter of MAX_CONNECTIONS.',
    secret: false,
    description:
      'The same for one IPv4 address or one /64 of IPv6. Behind a proxy that TRUSTED_PROXIES does not name, all clients have its address. Connected agents do not count, only those that are connecting. 0 is no limit.',
    example: '4096',
  },
  MAX_HELD_REQUESTS_PER_TOKEN: {
    schema: wholeNumber(0, 1_000_000),
    default: '100',
    secret: false,
    description:
      'Maximum number of open event streams, waiting triggers (`Prefer: wait`), commands and diagnoses (`GET /doctor`) for the tokens of one subject. A further stream, command or diagnosis is refused with 429; a further trigger is accepted with 202, without waiting. 0 is no limit.',
    example: '500',
  },
  MAX_HELD_REQUESTS: {
    schema: wholeNumber(0, 1_000_000),
    default: '1000',
    secret: false,
    description:
      'The same for all tokens together. Each event stream with a slow reader takes up to half a megabyte of memory. 0 is no limit.',
    example: '5000',
  },
  MAX_UNFINISHED_PER_TOKEN: {
    schema: wholeNumber(0, 100_000_000),
    default: '100000',
    secret: false,
    description:
      'Maximum number of unfinished uploads, including queued ones, that the tokens of one subject have requested. Further triggers and retries are refused with 429. 0 is no limit.',
    example: '1000',
  },
  MAX_UNFINISHED_PER_CLIENT: {
    schema: wholeNumber(0, 100_000_000),
    default: '10000',
    secret: false,
    description:
      'Maximum number of unfinished uploads from one client. Further triggers and retries are refused with 429. 0 is no limit.',
    example: '500',
  },
  AGENT_BYTES_PER_SECOND: {
    schema: wholeNumber(65_536, 1_000_000_000),
    default: '4194304',
    secret: false,
    description:
      'Bytes of messages that one agent may send per second on average, and sixteen times as many in a burst. Beyond that the server stops reading from it for a while. Files do not pass through the server, so this does not slow them down.',
    example: '1048576',
  },
  AGENT_CPU_MS_PER_SECOND: {
    schema: wholeNumber(1, 1000),
    default: '100',
    secret: false,
    description:
      'Milliseconds of CPU time that reading the messages of one agent may take per second on average, and sixteen times as many in a burst. Beyond that the server stops reading from it for a while.',
    example: '50',
  },
  AGENT_REFUSALS_PER_MINUTE: {
    schema: wholeNumber(1, 100_000),
    default: '120',
    secret: false,
    description:
      'Invalid messages that one agent may send per minute, not counting messages of unknown types from newer agents. Beyond that it is disconnected; after the third time it is refused for 30 seconds.',
    example: '600',
  },
} as const satisfies SettingRows;

export const tlsSettings = {
  TLS_CERT_FILE: {
    schema: anyText,
    unset: 'Plain HTTP: put a proxy that terminates TLS in front.',
    required: 'with TLS_KEY_FILE',
    secret: false,
    description: 'PEM file of the certificate chain. Reloaded when it is replaced, and after SIGHUP.',
    example: '/etc/backhaul/tls/server.crt',
  },
  TLS_KEY_FILE: {
    schema: anyText,
    required: 'with TLS_CERT_FILE',
    secret: false,
    description: 'PEM file of the certificate’s private key.',
    example: '/etc/backhaul/tls/server.key',
  },
  TLS_CLIENT_CA_FILE: {
    schema: anyText,
    unset: 'Agents need no certificate.',
    secret: false,
    description:
      'PEM file of the authorities that must have signed the certificates of agents, which `backhaul-agent` presents with `--client-cert` and `--client-key`. Needs TLS_CERT_FILE and TLS_KEY_FILE.',
    example: '/etc/backhaul/tls/agents-ca.crt',
  },
  TLS_CLIENT_MATCH: {
    schema: oneOf(['client_id', 'none']),
    default: 'client_id',
    secret: false,
    description:
      'Which certificate of TLS_CLIENT_CA_FILE an agent may present: with `client_id`, one whose DNS name, or common name if it has no DNS names, is the client id of its token; with `none`, any, for example one that a whole fleet shares.',
    example: 'none',
  },
} as const satisfies SettingRows;

export const proxySettings = {
  HTTPS_PROXY: {
    schema: anyText,
    unset: 'Requests to https:// addresses go directly.',
    // It may contain a password.
    secret: true,
    description:
      'Proxy for requests to an object store and a key set (JWT_JWKS_URL) at https:// addresses, with user name and password if it requires them. Without a scheme it is http://. The variable in lower case is read too, and wins.',
    example: 'http://user:password@proxy.example.com:3128',
  },
  HTTP_PROXY: {
    schema: anyText,
    unset: 'Requests to http:// addresses go directly.',
    secret: true,
    description: 'The same for http:// addresses.',
    example: 'http://proxy.example.com:3128',
  },
  NO_PROXY: {
    schema: anyText,
    unset: 'Only this machine (localhost, 127.0.0.0/8, ::1) is reached without the proxy.',
    secret: false,
    description:
      'Hosts to reach without a proxy, separated by commas or spaces: names, each with all its subdomains, IP addresses and ranges such as 10.0.0.0/8, with a port or without; `*` means all. Ranges cover addresses in URLs; names are not resolved.',
    example: '.internal,10.0.0.0/8',
  },
} as const satisfies SettingRows;

export const logSettings = {
  LOG_LEVEL: {
    schema: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    default: 'info',
    secret: false,
    description: 'Lowest level that is logged: trace, debug, info, warn, error, fatal or silent.',
    example: 'debug',
  },
  LOG_FORMAT: {
    schema: oneOf(['auto', ...logFormats]),
    default: 'auto',
    secret: false,
    description:
      'Format of the log: `json`, one object per line; `human`, for a terminal; `auto`, `human` on a terminal and `json` elsewhere. Under systemd each line begins with its priority, which the journal removes.',
    example: 'json',
  },
} as const satisfies SettingRows;
