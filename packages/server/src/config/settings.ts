import { logFormats } from '@backhaul/program';
import { MAX_WAIT_SECONDS } from '@backhaul/protocol';
import type { z } from 'zod';
import {
  addressRanges,
  anyText,
  bucketName,
  credential,
  encryption,
  fileSize,
  keyPrefix,
  keySetAddress,
  matching,
  oneOf,
  serviceAddress,
  type SettingSchema,
  sqliteAddress,
  storageClass,
  trueOrFalse,
  wholeNumber,
} from './setting-schemas.ts';

export interface Setting {
  /** Heading in the documentation. */
  readonly group:
    | 'Object store'
    | 'Uploads'
    | 'Tokens'
    | 'State'
    | 'Listening'
    | 'Limits'
    | 'TLS'
    | 'Proxies'
    | 'Logging';
  readonly schema: SettingSchema;
  /** Spelled as in the environment. */
  readonly default?: string;
  /** Behaviour without the setting, if there is no fixed default. */
  readonly unset?: string;
  /** Condition under which it has to be set. */
  readonly required?: string;
  /** If true, the value is never shown. */
  readonly secret: boolean;
  /** Name of the flag, without the leading dashes. */
  readonly flag?: 'port' | 'host';
  /** One or more whole sentences. */
  readonly description: string;
  readonly example: string;
}

/**
 * All settings of the server. `--help`, `.env.example` and `docs/configuration.md` are generated from this table, in
 * this order.
 */
const settings = {
  S3_BUCKET_NAME: {
    group: 'Object store',
    schema: bucketName,
    unset: 'With --dev, the embedded object store is started.',
    required: 'without --dev, and with S3_ENDPOINT',
    secret: false,
    description: 'Bucket that files are uploaded to.',
    example: 'my-app-uploads',
  },
  AWS_REGION: {
    group: 'Object store',
    schema: matching(/^[a-z0-9-]{1,64}$/, 'must be the name of a region such as "eu-central-1"'),
    unset: '`us-east-1` with S3_ENDPOINT, which most compatible stores expect.',
    required: 'without S3_ENDPOINT',
    secret: false,
    description: 'Region of the bucket.',
    example: 'eu-central-1',
  },
  AWS_ACCESS_KEY_ID: {
    group: 'Object store',
    schema: credential,
    unset: 'The AWS SDK searches for credentials itself: shared files, container or instance role.',
    required: 'with S3_ENDPOINT',
    secret: true,
    description: 'Access key that signs requests and the URLs for agents.',
    example: 'AKIAIOSFODNN7EXAMPLE',
  },
  AWS_SECRET_ACCESS_KEY: {
    group: 'Object store',
    schema: credential,
    required: 'with AWS_ACCESS_KEY_ID',
    secret: true,
    description: 'Secret key of AWS_ACCESS_KEY_ID.',
    example: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  },
  AWS_SESSION_TOKEN: {
    group: 'Object store',
    schema: credential,
    secret: true,
    description:
      'Session token of a temporary AWS_ACCESS_KEY_ID. The server cannot renew such a key: prefer a role.',
    example: 'IQoJb3JpZ2luX2VjEXAMPLE',
  },
  S3_ENDPOINT: {
    group: 'Object store',
    schema: serviceAddress,
    unset: 'Amazon S3 in AWS_REGION.',
    secret: false,
    description: 'Address of an S3-compatible store, without the bucket’s name in host or path.',
    example: 'https://minio.internal:9000',
  },
  S3_PUBLIC_ENDPOINT: {
    group: 'Object store',
    schema: serviceAddress,
    unset: 'The same as S3_ENDPOINT.',
    secret: false,
    description:
      'Address at which agents and operators reach the store; presigned URLs use it. It must lead to the same store as S3_ENDPOINT, because the server relies on the checks that it probed there.',
    example: 'https://files.example.com',
  },
  S3_FORCE_PATH_STYLE: {
    group: 'Object store',
    schema: trueOrFalse,
    unset: '`true` with S3_ENDPOINT, otherwise `false`.',
    secret: false,
    description: 'Puts the bucket into the path of URLs instead of the host name.',
    example: 'true',
  },
  S3_KEY_PREFIX: {
    group: 'Object store',
    schema: keyPrefix,
    default: 'uploads',
    secret: false,
    description: 'Prefix of object keys, which are PREFIX/CLIENT_ID/UPLOAD_ID/FILE_NAME.',
    example: 'sites/emea',
  },
  S3_STORAGE_CLASS: {
    group: 'Object store',
    schema: storageClass,
    default: 'INTELLIGENT_TIERING',
    secret: false,
    description:
      'Storage class of new objects. The default is used if the store supports it. If you set a class that the store does not support, the server does not start. `none` requests no class.',
    example: 'STANDARD',
  },
  S3_SSE: {
    group: 'Object store',
    schema: encryption,
    default: 'AES256',
    secret: false,
    description:
      'Server-side encryption: `AES256`, `aws:kms`, `aws:kms:dsse` or `none`. The default is used if the store supports it. If you set a value that the store does not support, the server does not start.',
    example: 'aws:kms',
  },
  S3_CHECKSUM: {
    group: 'Object store',
    schema: oneOf(['auto', 'crc32', 'sha256', 'md5', 'none']),
    default: 'auto',
    secret: false,
    description:
      'Checksum that binds a presigned URL to the bytes of its part: `auto` probes the store and uses `crc32` or `md5`; `sha256` binds cryptographically; `none` binds only the length.',
    example: 'sha256',
  },
  PRESIGN_EXPIRY_SECONDS: {
    group: 'Uploads',
    schema: wholeNumber(1, 43_200),
    default: '900',
    secret: false,
    description:
      'Seconds for which a presigned URL is valid, 1 to 43200 (12 hours). Agents request new URLs, so slow uploads do not need a longer time.',
    example: '3600',
  },
  MAX_FILE_SIZE: {
    group: 'Uploads',
    schema: fileSize,
    default: '5TiB',
    secret: false,
    description:
      'Maximum size of a file: bytes, or with a unit such as KiB, MiB, GiB, MB, GB. Larger files are refused. The default is the largest object of most S3-compatible stores; the maximum is 50000GiB.',
    example: '10GiB',
  },
  UPLOAD_PARALLEL_PARTS: {
    group: 'Uploads',
    schema: wholeNumber(1, 64),
    unset: 'The limit of the agent.',
    secret: false,
    description:
      'Maximum number of parallel PUTs of one upload, unless its trigger or its client has another limit. The agent’s own `--parallel-parts` is always an upper limit.',
    example: '2',
  },
  UPLOAD_MAX_RATE: {
    group: 'Uploads',
    schema: wholeNumber(1024, Number.MAX_SAFE_INTEGER),
    unset: 'The limit of the agent.',
    secret: false,
    description:
      'Maximum bytes per second of one upload, unless its trigger or its client has another limit. The agent’s own `--max-rate` is always an upper limit.',
    example: '2000000',
  },
  JWT_SECRET: {
    group: 'Tokens',
    schema: anyText,
    unset: 'With --dev, one is generated and stored in .backhaul/.',
    required: 'without --dev, unless JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL is set',
    secret: true,
    description: 'Secret for signing tokens (HS256), at least 32 random bytes.',
    example: '"$(openssl rand -hex 32)"',
  },
  JWT_SECRET_PREVIOUS: {
    group: 'Tokens',
    schema: anyText,
    unset: 'Only tokens signed with JWT_SECRET are accepted.',
    secret: true,
    description:
      'Previous secret, while agents and operators get new tokens: tokens signed with it are accepted, too. Unset it once `backhaul doctor` shows that no agent uses one.',
    example: '"$OLD_JWT_SECRET"',
  },
  JWT_PUBLIC_KEY_FILE: {
    group: 'Tokens',
    schema: anyText,
    secret: false,
    description:
      'PEM file of the public key for verifying tokens: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).',
    example: '/etc/backhaul/jwt-public.pem',
  },
  JWT_JWKS_URL: {
    group: 'Tokens',
    schema: keySetAddress,
    secret: false,
    description: 'Address of the key set of an identity provider (RS256, ES256 or EdDSA).',
    example: 'https://id.example.com/.well-known/jwks.json',
  },
  JWT_JWKS_MAX_AGE_SECONDS: {
    group: 'Tokens',
    schema: wholeNumber(60, 2_592_000),
    default: '86400',
    secret: false,
    description:
      'Seconds for which the last key set of JWT_JWKS_URL is used while the provider cannot be reached; after that, tokens are refused with 503. A key that the provider withdraws during its outage is accepted until then.',
    example: '3600',
  },
  JWT_ISSUER: {
    group: 'Tokens',
    schema: anyText,
    unset: '`backhaul`, the issuer of `backhaul token`.',
    secret: false,
    description:
      'The `iss` of tokens. This and the following settings are for tokens of your own identity provider, and need JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL.',
    example: 'https://id.example.com/realms/factory',
  },
  JWT_AGENT_AUDIENCE: {
    group: 'Tokens',
    schema: anyText,
    unset: '`backhaul-agent`.',
    secret: false,
    description: 'The `aud` of agents’ tokens.',
    example: 'https://backhaul.example.com/agents',
  },
  JWT_OPERATOR_AUDIENCE: {
    group: 'Tokens',
    schema: anyText,
    unset: '`backhaul-operator`.',
    secret: false,
    description: 'The `aud` of operators’ tokens.',
    example: 'https://backhaul.example.com/api',
  },
  JWT_AGENT_TYPE: {
    group: 'Tokens',
    schema: anyText,
    unset: '`backhaul-agent+jwt`.',
    secret: false,
    description:
      'The header `typ` of agents’ tokens; `any` accepts every one. Agents and operators need different audiences or types.',
    example: 'at+jwt',
  },
  JWT_OPERATOR_TYPE: {
    group: 'Tokens',
    schema: anyText,
    unset: '`backhaul-operator+jwt`.',
    secret: false,
    description: 'The header `typ` of operators’ tokens; `any` accepts every one.',
    example: 'at+jwt',
  },
  JWT_SCOPE_CLAIM: {
    group: 'Tokens',
    schema: anyText,
    unset: '`scope`.',
    secret: false,
    description:
      'The claim with an operator’s scopes: words separated by spaces, or a list. With any of these settings, words that are not scopes of Backhaul are ignored, and `scope_version` is not needed.',
    example: 'permissions',
  },
  LEGACY_READ_SCOPE: {
    group: 'Tokens',
    schema: oneOf(['grace', 'off']),
    default: 'grace',
    secret: false,
    description:
      'Meaning of `read` in operators’ tokens without the claim `scope_version`, which are older than the separate scopes `content` and `metrics`. With `grace` it includes both until 31 days after this version first started on the database, and each use is logged; `off` ends that immediately.',
    example: 'off',
  },
  TOKEN_RENEWAL: {
    group: 'Tokens',
    schema: oneOf(['on', 'off']),
    default: 'on',
    secret: false,
    description:
      'Whether tokens of agents that have a state directory are renewed over their connections, once two thirds of their life have passed: with JWT_SECRET only. A token is refused once the one that renews it was used, whatever is set here.',
    example: 'off',
  },
  DATABASE_URL: {
    group: 'State',
    schema: sqliteAddress,
    unset: '`sqlite:backhaul.sqlite`, with --dev `sqlite:.backhaul/backhaul.sqlite`.',
    // A PostgreSQL address, which is refused so far, contains a password.
    secret: true,
    description:
      'Database of uploads and clients: sqlite:PATH, relative to the working directory. Its directory has to exist, on a local disk, not on a network file system.',
    example: 'sqlite:/var/lib/backhaul/backhaul.sqlite',
  },
  REDIS_URL: {
    group: 'State',
    schema: anyText.refine(
      () => false,
      'configures several nodes with Redis, which this version does not support; unset it',
    ),
    unset: 'One node.',
    secret: true,
    description: 'Reserved for several nodes; this version refuses to start with it.',
    example: 'redis://localhost:6379',
  },
  RETENTION_DAYS: {
    group: 'State',
    schema: wholeNumber(1, 36_500),
    default: '90',
    secret: false,
    description: 'Days after which ended uploads are removed from the database. Objects in the bucket stay.',
    example: '30',
  },
  AUDIT_RETENTION_DAYS: {
    group: 'State',
    schema: wholeNumber(1, 36_500),
    default: '365',
    secret: false,
    description: 'Audit events older than this many days are removed, independent of RETENTION_DAYS.',
    example: '730',
  },
  AUDIT_MAX_ROWS: {
    group: 'State',
    schema: wholeNumber(0, 1_000_000_000),
    default: '1000000',
    secret: false,
    description:
      'Maximum number of audit events, of about 500 bytes each. Once an hour the oldest beyond it are removed, with a warning in the log. Requests without a valid token get a tenth of it. 0 is no limit.',
    example: '10000000',
  },
  RETENTION_TRUST_CLOCK: {
    group: 'State',
    schema: trueOrFalse,
    default: 'false',
    secret: false,
    description:
      'Removes by RETENTION_DAYS and AUDIT_RETENTION_DAYS even if the clock may be wrong. By default, removal waits until the clock has been steady for a day after it was set by more than an hour, and after a start more than 7 days after the last removal.',
    example: 'true',
  },
  ORPHAN_AGE_SECONDS: {
    group: 'State',
    schema: wholeNumber(1, 31_536_000),
    default: '3600',
    secret: false,
    description:
      'Age in seconds at which a multipart upload of this server without a record is aborted (the server was killed while creating it, or parts arrived late). The bucket is searched at this interval, and at startup.',
    example: '86400',
  },
  HOST: {
    group: 'Listening',
    schema: matching(/^[A-Za-z0-9.:-]{1,253}$/, 'must be an IP address or a host name, without a port'),
    unset: '`127.0.0.1` with --dev, otherwise `0.0.0.0`.',
    secret: false,
    flag: 'host',
    description: 'Address to listen on. With --dev only the flag --host counts.',
    example: '127.0.0.1',
  },
  PORT: {
    group: 'Listening',
    schema: wholeNumber(0, 65_535),
    default: '8080',
    secret: false,
    flag: 'port',
    description: 'Port to listen on; 0 selects a free one.',
    example: '8443',
  },
  TRUSTED_PROXIES: {
    group: 'Listening',
    schema: addressRanges,
    unset: 'None: X-Forwarded-For is ignored, because every client can write it.',
    secret: false,
    description:
      'Reverse proxies in front of the server: addresses and ranges such as 10.0.0.0/8, separated by commas or spaces. Only their X-Forwarded-For determines the address of a client, in the log, in the status of agents and for MAX_UNAUTHENTICATED_PER_ADDRESS.',
    example: '10.0.0.0/8,fd00::/8',
  },
  PROXY_WAIT_SECONDS: {
    group: 'Listening',
    schema: wholeNumber(1, MAX_WAIT_SECONDS),
    default: '50',
    secret: false,
    description:
      'Maximum wait in seconds for `Prefer: wait=N` if the request came through a reverse proxy, because most proxies abort a request after 60 seconds without a response. The response is then 202, with `Preference-Applied`; `@backhaul/client` repeats the request by itself. Raise it together with the time-out of the proxy (nginx: proxy_read_timeout).',
    example: '290',
  },
  MAX_CONNECTIONS: {
    group: 'Limits',
    schema: wholeNumber(0, 10_000_000),
    unset:
      'On Linux, the limit of open files of the process (`ulimit -n`) minus 128, but at least half of it; on other systems no limit.',
    secret: false,
    description:
      'Maximum number of connections to the server, including agents. Further ones are closed immediately. 0 is no limit.',
    example: '20000',
  },
  MAX_UNAUTHENTICATED_CONNECTIONS: {
    group: 'Limits',
    schema: wholeNumber(0, 10_000_000),
    unset: '2048, but at most half of MAX_CONNECTIONS.',
    secret: false,
    description:
      'Maximum number of connections without a valid token so far. Above the limit, the oldest connection of the address with the most connections is closed if it is at least 3 seconds old, else the newest. 0 is no limit.',
    example: '8192',
  },
  MAX_UNAUTHENTICATED_PER_ADDRESS: {
    group: 'Limits',
    schema: wholeNumber(0, 10_000_000),
    unset: '1024, but at most a quarter of MAX_CONNECTIONS.',
    secret: false,
    description:
      'The same for one IPv4 address or one /64 of IPv6. Behind a proxy that TRUSTED_PROXIES does not name, all clients have its address. Connected agents do not count, only those that are connecting. 0 is no limit.',
    example: '4096',
  },
  MAX_HELD_REQUESTS_PER_TOKEN: {
    group: 'Limits',
    schema: wholeNumber(0, 1_000_000),
    default: '100',
    secret: false,
    description:
      'Maximum number of open event streams, waiting triggers (`Prefer: wait`), commands and diagnoses (`GET /doctor`) for the tokens of one subject. A further stream, command or diagnosis is refused with 429; a further trigger is accepted with 202, without waiting. 0 is no limit.',
    example: '500',
  },
  MAX_HELD_REQUESTS: {
    group: 'Limits',
    schema: wholeNumber(0, 1_000_000),
    default: '1000',
    secret: false,
    description:
      'The same for all tokens together. Each event stream with a slow reader takes up to half a megabyte of memory. 0 is no limit.',
    example: '5000',
  },
  MAX_UNFINISHED_PER_TOKEN: {
    group: 'Limits',
    schema: wholeNumber(0, 100_000_000),
    default: '100000',
    secret: false,
    description:
      'Maximum number of unfinished uploads, including queued ones, that the tokens of one subject have requested. Further triggers and retries are refused with 429. 0 is no limit.',
    example: '1000',
  },
  MAX_UNFINISHED_PER_CLIENT: {
    group: 'Limits',
    schema: wholeNumber(0, 100_000_000),
    default: '10000',
    secret: false,
    description:
      'Maximum number of unfinished uploads from one client. Further triggers and retries are refused with 429. 0 is no limit.',
    example: '500',
  },
  AGENT_BYTES_PER_SECOND: {
    group: 'Limits',
    schema: wholeNumber(65_536, 1_000_000_000),
    default: '4194304',
    secret: false,
    description:
      'Bytes of messages that one agent may send per second on average, and sixteen times as many in a burst. Beyond that the server stops reading from it for a while. Files do not pass through the server, so this does not slow them down.',
    example: '1048576',
  },
  AGENT_CPU_MS_PER_SECOND: {
    group: 'Limits',
    schema: wholeNumber(1, 1000),
    default: '100',
    secret: false,
    description:
      'Milliseconds of CPU time that reading the messages of one agent may take per second on average, and sixteen times as many in a burst. Beyond that the server stops reading from it for a while.',
    example: '50',
  },
  AGENT_REFUSALS_PER_MINUTE: {
    group: 'Limits',
    schema: wholeNumber(1, 100_000),
    default: '120',
    secret: false,
    description:
      'Invalid messages that one agent may send per minute, not counting messages of unknown types from newer agents. Beyond that it is disconnected; after the third time it is refused for 30 seconds.',
    example: '600',
  },
  TLS_CERT_FILE: {
    group: 'TLS',
    schema: anyText,
    unset: 'Plain HTTP: put a proxy that terminates TLS in front.',
    required: 'with TLS_KEY_FILE',
    secret: false,
    description: 'PEM file of the certificate chain. Reloaded when it is replaced, and after SIGHUP.',
    example: '/etc/backhaul/tls/server.crt',
  },
  TLS_KEY_FILE: {
    group: 'TLS',
    schema: anyText,
    required: 'with TLS_CERT_FILE',
    secret: false,
    description: 'PEM file of the certificate’s private key.',
    example: '/etc/backhaul/tls/server.key',
  },
  TLS_CLIENT_CA_FILE: {
    group: 'TLS',
    schema: anyText,
    unset: 'Agents need no certificate.',
    secret: false,
    description:
      'PEM file of the authorities that must have signed the certificates of agents, which `backhaul-agent` presents with `--client-cert` and `--client-key`. Needs TLS_CERT_FILE and TLS_KEY_FILE.',
    example: '/etc/backhaul/tls/agents-ca.crt',
  },
  TLS_CLIENT_MATCH: {
    group: 'TLS',
    schema: oneOf(['client_id', 'none']),
    default: 'client_id',
    secret: false,
    description:
      'Which certificate of TLS_CLIENT_CA_FILE an agent may present: with `client_id`, one whose DNS name, or common name if it has no DNS names, is the client id of its token; with `none`, any, for example one that a whole fleet shares.',
    example: 'none',
  },
  HTTPS_PROXY: {
    group: 'Proxies',
    schema: anyText,
    unset: 'Requests to https:// addresses go directly.',
    // It may contain a password.
    secret: true,
    description:
      'Proxy for requests to an object store and a key set (JWT_JWKS_URL) at https:// addresses, with user name and password if it requires them. Without a scheme it is http://. The variable in lower case is read too, and wins.',
    example: 'http://user:password@proxy.example.com:3128',
  },
  HTTP_PROXY: {
    group: 'Proxies',
    schema: anyText,
    unset: 'Requests to http:// addresses go directly.',
    secret: true,
    description: 'The same for http:// addresses.',
    example: 'http://proxy.example.com:3128',
  },
  NO_PROXY: {
    group: 'Proxies',
    schema: anyText,
    unset: 'Only this machine (localhost, 127.0.0.0/8, ::1) is reached without the proxy.',
    secret: false,
    description:
      'Hosts to reach without a proxy, separated by commas or spaces: names, each with all its subdomains, IP addresses and ranges such as 10.0.0.0/8, with a port or without; `*` means all. Ranges cover addresses in URLs; names are not resolved.',
    example: '.internal,10.0.0.0/8',
  },
  LOG_LEVEL: {
    group: 'Logging',
    schema: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    default: 'info',
    secret: false,
    description: 'Lowest level that is logged: trace, debug, info, warn, error, fatal or silent.',
    example: 'debug',
  },
  LOG_FORMAT: {
    group: 'Logging',
    schema: oneOf(['auto', ...logFormats]),
    default: 'auto',
    secret: false,
    description:
      'Format of the log: `json`, one object per line; `human`, for a terminal; `auto`, `human` on a terminal and `json` elsewhere. Under systemd each line begins with its priority, which the journal removes.',
    example: 'json',
  },
} as const satisfies Record<string, Setting>;

type Table = typeof settings;
export type SettingName = keyof Table;

/** Undefined only for a setting without a default. */
export type SettingValues = {
  readonly [Name in SettingName]:
    | z.output<Table[Name]['schema']>
    | (Table[Name] extends { readonly default: string } ? never : undefined);
};

export const settingNames = Object.keys(settings) as SettingName[];

/** The row of the table, as the general type with optional fields. */
export function settingOf(name: SettingName): Setting {
  return settings[name];
}

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(settings, name);
}
