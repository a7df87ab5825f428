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
  /** Heading it stands under in the documentation. */
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
  /** As it would be spelled in the environment. */
  readonly default?: string;
  /** What happens without it, where that is not one fixed text. */
  readonly unset?: string;
  /** When it has to be set. */
  readonly required?: string;
  /** Its value is never shown. */
  readonly secret: boolean;
  /** Without the leading dashes. */
  readonly flag?: 'port' | 'host';
  /** One or more whole sentences. */
  readonly description: string;
  readonly example: string;
}

/**
 * Every setting of the server, once. `--help`, `.env.example` and `docs/configuration.md` are generated from
 * this table, in this order.
 */
const settings = {
  S3_BUCKET_NAME: {
    group: 'Object store',
    schema: bucketName,
    unset: 'With --dev, the embedded object store is started.',
    required: 'without --dev, and with S3_ENDPOINT',
    secret: false,
    description: 'The bucket that files are uploaded to.',
    example: 'my-app-uploads',
  },
  AWS_REGION: {
    group: 'Object store',
    schema: matching(/^[a-z0-9-]{1,64}$/, 'must be a region’s name such as "eu-central-1"'),
    unset: '`us-east-1` with S3_ENDPOINT, which is what most compatible stores expect.',
    required: 'without S3_ENDPOINT',
    secret: false,
    description: 'The region of the bucket.',
    example: 'eu-central-1',
  },
  AWS_ACCESS_KEY_ID: {
    group: 'Object store',
    schema: credential,
    unset: 'The AWS SDK looks for credentials itself: shared files, container or instance role.',
    required: 'with S3_ENDPOINT',
    secret: true,
    description: 'The key that signs requests and the URLs given to agents.',
    example: 'AKIAIOSFODNN7EXAMPLE',
  },
  AWS_SECRET_ACCESS_KEY: {
    group: 'Object store',
    schema: credential,
    required: 'with AWS_ACCESS_KEY_ID',
    secret: true,
    description: 'The secret half of AWS_ACCESS_KEY_ID.',
    example: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  },
  AWS_SESSION_TOKEN: {
    group: 'Object store',
    schema: credential,
    secret: true,
    description:
      'Belongs to a temporary AWS_ACCESS_KEY_ID. Such a key cannot be renewed by the server: prefer a role.',
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
      'Address of the store as agents and operators reach it; presigned URLs are made for it. It must lead to the very store of S3_ENDPOINT: what that one was seen to enforce is relied on.',
    example: 'https://files.example.com',
  },
  S3_FORCE_PATH_STYLE: {
    group: 'Object store',
    schema: trueOrFalse,
    unset: '`true` with S3_ENDPOINT, otherwise `false`.',
    secret: false,
    description: 'Put the bucket into the path of URLs instead of the host name.',
    example: 'true',
  },
  S3_KEY_PREFIX: {
    group: 'Object store',
    schema: keyPrefix,
    default: 'uploads',
    secret: false,
    description: 'Keys are PREFIX/CLIENT_ID/UPLOAD_ID/FILE_NAME.',
    example: 'sites/emea',
  },
  S3_STORAGE_CLASS: {
    group: 'Object store',
    schema: storageClass,
    default: 'INTELLIGENT_TIERING',
    secret: false,
    description:
      'Storage class of new objects. The default is used if the store honours it; a class set here has to be honoured, or the server does not start. `none` asks for nothing.',
    example: 'STANDARD',
  },
  S3_SSE: {
    group: 'Object store',
    schema: encryption,
    default: 'AES256',
    secret: false,
    description:
      'Server-side encryption: `AES256`, `aws:kms`, `aws:kms:dsse` or `none`. The default is used if the store honours it; a value set here has to be honoured, or the server does not start.',
    example: 'aws:kms',
  },
  S3_CHECKSUM: {
    group: 'Object store',
    schema: oneOf(['auto', 'crc32', 'sha256', 'md5', 'none']),
    default: 'auto',
    secret: false,
    description:
      'How a presigned URL is bound to the bytes of its part: `auto` probes the store and takes `crc32` or `md5`; `sha256` binds cryptographically; `none` leaves only the length bound.',
    example: 'sha256',
  },
  PRESIGN_EXPIRY_SECONDS: {
    group: 'Uploads',
    schema: wholeNumber(1, 43_200),
    default: '900',
    secret: false,
    description:
      'How long a presigned URL is valid, 1 to 43200 (12 hours). Agents ask for new ones, so a slow upload needs no longer time.',
    example: '3600',
  },
  MAX_FILE_SIZE: {
    group: 'Uploads',
    schema: fileSize,
    default: '5TiB',
    secret: false,
    description:
      'Larger files are refused: bytes, or with a unit such as KiB, MiB, GiB, MB, GB. The default is the largest object of most S3-compatible stores; 50000GiB is the most that can be set.',
    example: '10GiB',
  },
  UPLOAD_PARALLEL_PARTS: {
    group: 'Uploads',
    schema: wholeNumber(1, 64),
    unset: 'As many as the agent takes.',
    secret: false,
    description:
      'PUTs of one upload at once, at most, unless its trigger or its client has another limit. The agent’s own `--parallel-parts` goes before.',
    example: '2',
  },
  UPLOAD_MAX_RATE: {
    group: 'Uploads',
    schema: wholeNumber(1024, Number.MAX_SAFE_INTEGER),
    unset: 'As fast as the agent goes.',
    secret: false,
    description:
      'Bytes per second of one upload, at most, unless its trigger or its client has another limit. The agent’s own `--max-rate` goes before.',
    example: '2000000',
  },
  JWT_SECRET: {
    group: 'Tokens',
    schema: anyText,
    unset: 'With --dev, one is made and kept under .backhaul/.',
    required: 'without --dev, unless JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL is set',
    secret: true,
    description: 'Secret that tokens are signed with (HS256), 32 random bytes or more.',
    example: '"$(openssl rand -hex 32)"',
  },
  JWT_SECRET_PREVIOUS: {
    group: 'Tokens',
    schema: anyText,
    unset: 'Only tokens of JWT_SECRET are accepted.',
    secret: true,
    description:
      'The secret that JWT_SECRET replaces, while agents and operators change over: tokens that were signed with it are accepted too. Unset it once `backhaul doctor` says that no agent uses one.',
    example: '"$OLD_JWT_SECRET"',
  },
  JWT_PUBLIC_KEY_FILE: {
    group: 'Tokens',
    schema: anyText,
    secret: false,
    description:
      'PEM file of the public key that tokens are checked with: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).',
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
      'How long the last key set of JWT_JWKS_URL is used while the provider cannot be reached; then tokens are refused with 503. A key that the provider withdraws during its outage is accepted for as long.',
    example: '3600',
  },
  JWT_ISSUER: {
    group: 'Tokens',
    schema: anyText,
    unset: '`backhaul`, as `backhaul token` writes it.',
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
      'The claim with an operator’s scopes: words separated by spaces, or a list. With any of these settings, words that are no scopes of Backhaul are ignored, and `scope_version` is not needed.',
    example: 'permissions',
  },
  LEGACY_READ_SCOPE: {
    group: 'Tokens',
    schema: oneOf(['grace', 'off']),
    default: 'grace',
    secret: false,
    description:
      'What `read` means in operators’ tokens without the claim `scope_version`, which were made before `content` and `metrics` were scopes of their own: `grace` lets it include both until 31 days after this version first started on the database, and logs each use; `off` ends that at once.',
    example: 'off',
  },
  DATABASE_URL: {
    group: 'State',
    schema: sqliteAddress,
    unset: '`sqlite:backhaul.sqlite`, with --dev `sqlite:.backhaul/backhaul.sqlite`.',
    // A PostgreSQL address, though refused so far, holds a password.
    secret: true,
    description:
      'Where uploads and clients are recorded: sqlite:PATH, relative to the working directory. Its directory has to be there. On a disk of this machine, not on a network file system.',
    example: 'sqlite:/var/lib/backhaul/backhaul.sqlite',
  },
  REDIS_URL: {
    group: 'State',
    schema: anyText.refine(
      () => false,
      'asks for several nodes behind Redis, which this version does not support; unset it',
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
    description: 'Rows and audit older than this many days are removed. Objects in the bucket stay.',
    example: '30',
  },
  RETENTION_TRUST_CLOCK: {
    group: 'State',
    schema: trueOrFalse,
    default: 'false',
    secret: false,
    description:
      'Remove by RETENTION_DAYS even when the clock may be wrong. By default removal waits until the clock has been steady for a day after it was set by more than an hour, and after a start more than 7 days after the last removal.',
    example: 'true',
  },
  ORPHAN_AGE_SECONDS: {
    group: 'State',
    schema: wholeNumber(1, 31_536_000),
    default: '3600',
    secret: false,
    description:
      'A multipart upload of ours that no record refers to any more (the server was killed as it was created, or parts came late) is aborted when it is this old. The bucket is looked through as often as this, and at the start.',
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
    description: 'Port to listen on; 0 takes any free one.',
    example: '8443',
  },
  TRUSTED_PROXIES: {
    group: 'Listening',
    schema: addressRanges,
    unset: 'None: X-Forwarded-For is ignored, as anyone can write it.',
    secret: false,
    description:
      'Reverse proxies in front of the server: addresses and ranges such as 10.0.0.0/8, separated by commas or spaces. Only what they say in X-Forwarded-For counts as the address of a client, in the log, in the status of agents and for MAX_UNAUTHENTICATED_PER_ADDRESS.',
    example: '10.0.0.0/8,fd00::/8',
  },
  PROXY_WAIT_SECONDS: {
    group: 'Listening',
    schema: wholeNumber(1, MAX_WAIT_SECONDS),
    default: '50',
    secret: false,
    description:
      'The most that `Prefer: wait=N` waits if the request came through a reverse proxy, because most give a request up after 60 seconds without a response. The response is 202 then, with `Preference-Applied`; `@backhaul/client` asks again by itself. Raise it together with the time-out of the proxy (nginx: proxy_read_timeout).',
    example: '290',
  },
  MAX_CONNECTIONS: {
    group: 'Limits',
    schema: wholeNumber(0, 10_000_000),
    unset:
      'On Linux, the open files that the process may have (`ulimit -n`) less 128, but at least half of them; on other systems no limit.',
    secret: false,
    description:
      'Connections to the server, agents included. Further ones are closed as they come. 0 is no limit.',
    example: '20000',
  },
  MAX_UNAUTHENTICATED_CONNECTIONS: {
    group: 'Limits',
    schema: wholeNumber(0, 10_000_000),
    unset: '2048, but at most half of MAX_CONNECTIONS.',
    secret: false,
    description:
      'Connections on which no valid token was shown yet. Above the limit, the oldest of the address that has the most is closed if it has had 3 seconds, else the newest. 0 is no limit.',
    example: '8192',
  },
  MAX_UNAUTHENTICATED_PER_ADDRESS: {
    group: 'Limits',
    schema: wholeNumber(0, 10_000_000),
    unset: '1024, but at most a quarter of MAX_CONNECTIONS.',
    secret: false,
    description:
      'The same for one IPv4 address or one /64 of IPv6. Behind a proxy that TRUSTED_PROXIES does not name, all clients have its address: agents that are connected do not count, only those that are connecting. 0 is no limit.',
    example: '4096',
  },
  MAX_HELD_REQUESTS_PER_TOKEN: {
    group: 'Limits',
    schema: wholeNumber(0, 1_000_000),
    default: '100',
    secret: false,
    description:
      'Event streams, waiting triggers (`Prefer: wait`), commands and diagnoses (`GET /doctor`) that the tokens of one subject may have open at the same time. A further stream, command or diagnosis is refused with 429; a further trigger is accepted with 202, without waiting. 0 is no limit.',
    example: '500',
  },
  MAX_HELD_REQUESTS: {
    group: 'Limits',
    schema: wholeNumber(0, 1_000_000),
    default: '1000',
    secret: false,
    description:
      'The same over all tokens. Each event stream whose reader is slow takes up to half a megabyte of memory. 0 is no limit.',
    example: '5000',
  },
  MAX_UNFINISHED_PER_TOKEN: {
    group: 'Limits',
    schema: wholeNumber(0, 100_000_000),
    default: '100000',
    secret: false,
    description:
      'Uploads asked for by the tokens of one subject that have not ended, queued ones included. Further triggers and retries are refused with 429. 0 is no limit.',
    example: '1000',
  },
  MAX_UNFINISHED_PER_CLIENT: {
    group: 'Limits',
    schema: wholeNumber(0, 100_000_000),
    default: '10000',
    secret: false,
    description:
      'Uploads from one client that have not ended. Further triggers and retries are refused with 429. 0 is no limit.',
    example: '500',
  },
  AGENT_BYTES_PER_SECOND: {
    group: 'Limits',
    schema: wholeNumber(65_536, 1_000_000_000),
    default: '4194304',
    secret: false,
    description:
      'Bytes of messages that one agent may send per second on average, and sixteen times as many at once. Beyond that the server stops reading from it for a while. Files do not pass through the server, so this does not slow them down.',
    example: '1048576',
  },
  AGENT_CPU_MS_PER_SECOND: {
    group: 'Limits',
    schema: wholeNumber(1, 1000),
    default: '100',
    secret: false,
    description:
      'Milliseconds of CPU time that reading the messages of one agent may take per second on average, and sixteen times as many at once. Beyond that the server stops reading from it for a while.',
    example: '50',
  },
  AGENT_REFUSALS_PER_MINUTE: {
    group: 'Limits',
    schema: wholeNumber(1, 100_000),
    default: '120',
    secret: false,
    description:
      'Messages that cannot be read which one agent may send per minute, not counting those of a kind that only a newer agent knows. Beyond that it is disconnected; after the third time it is kept away for 30 seconds.',
    example: '600',
  },
  TLS_CERT_FILE: {
    group: 'TLS',
    schema: anyText,
    unset: 'Plain HTTP: put a proxy that ends TLS in front.',
    required: 'with TLS_KEY_FILE',
    secret: false,
    description: 'PEM file of the certificate chain. Read again when it is replaced, and after SIGHUP.',
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
      'PEM file of the authorities whose certificates agents must show. `backhaul-agent` shows one with `--client-cert` and `--client-key`. Needs TLS_CERT_FILE and TLS_KEY_FILE.',
    example: '/etc/backhaul/tls/agents-ca.crt',
  },
  TLS_CLIENT_MATCH: {
    group: 'TLS',
    schema: oneOf(['client_id', 'none']),
    default: 'client_id',
    secret: false,
    description:
      'Whose certificate of TLS_CLIENT_CA_FILE an agent may show: `client_id`, one whose DNS name, or common name if it has no DNS names, is the client id of its token; `none`, any, as one certificate that a whole fleet shares.',
    example: 'none',
  },
  HTTPS_PROXY: {
    group: 'Proxies',
    schema: anyText,
    unset: 'Requests to https:// addresses go directly.',
    // It may hold a password.
    secret: true,
    description:
      'Proxy for calls to an object store and a key set (JWT_JWKS_URL) at https:// addresses, with user name and password if it asks for them. Without a scheme it is http://. The same in lower case counts too and wins.',
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
      'What is reached without a proxy, separated by commas or spaces: names, each with all its subdomains, IP addresses and ranges such as 10.0.0.0/8, with a port or without; `*` is all. Ranges cover addresses in URLs; names are not looked up.',
    example: '.internal,10.0.0.0/8',
  },
  LOG_LEVEL: {
    group: 'Logging',
    schema: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    default: 'info',
    secret: false,
    description: 'Least severe entries that are logged: trace, debug, info, warn, error, fatal or silent.',
    example: 'debug',
  },
  LOG_FORMAT: {
    group: 'Logging',
    schema: oneOf(['auto', ...logFormats]),
    default: 'auto',
    secret: false,
    description:
      'How entries are written: `json`, one object in each line; `human`, for a terminal; `auto`, the second on a terminal and the first elsewhere. Under systemd each line begins with its priority, which the journal takes off.',
    example: 'json',
  },
} as const satisfies Record<string, Setting>;

type Table = typeof settings;
export type SettingName = keyof Table;

/** Undefined only where a setting has no default of its own. */
export type SettingValues = {
  readonly [Name in SettingName]:
    | z.output<Table[Name]['schema']>
    | (Table[Name] extends { readonly default: string } ? never : undefined);
};

export const settingNames = Object.keys(settings) as SettingName[];

/** The row of the table, with what not every row has. */
export function settingOf(name: SettingName): Setting {
  return settings[name];
}

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(settings, name);
}
