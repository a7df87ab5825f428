import type { z } from 'zod';
import {
  anyText,
  bucketName,
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
  readonly group: 'Object store' | 'Uploads' | 'Tokens' | 'State' | 'Listening' | 'TLS' | 'Logging';
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
    schema: anyText,
    unset: 'The AWS SDK looks for credentials itself: shared files, container or instance role.',
    required: 'with S3_ENDPOINT',
    secret: true,
    description: 'The key that signs requests and the URLs given to agents.',
    example: 'AKIAIOSFODNN7EXAMPLE',
  },
  AWS_SECRET_ACCESS_KEY: {
    group: 'Object store',
    schema: anyText,
    required: 'with AWS_ACCESS_KEY_ID',
    secret: true,
    description: 'The secret half of AWS_ACCESS_KEY_ID.',
    example: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  },
  AWS_SESSION_TOKEN: {
    group: 'Object store',
    schema: anyText,
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
    description: 'Address of an S3-compatible store.',
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
    unset: 'The limit of S3.',
    secret: false,
    description: 'Larger files are refused: bytes, or with a unit such as KiB, MiB, GiB, MB, GB.',
    example: '10GiB',
  },
  JWT_SECRET: {
    group: 'Tokens',
    schema: anyText,
    unset: 'With --dev, one is made and kept under .backhaul/.',
    required: 'without --dev, unless JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL is set',
    secret: true,
    description: 'Secret that tokens are signed with (HS256), 32 bytes or more.',
    example: '"$(openssl rand -base64 48)"',
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
  DATABASE_URL: {
    group: 'State',
    schema: sqliteAddress,
    unset: '`sqlite:backhaul.sqlite`, with --dev `sqlite:.backhaul/backhaul.sqlite`.',
    // A PostgreSQL address, though refused so far, holds a password.
    secret: true,
    description:
      'Where uploads and clients are recorded: sqlite:PATH, relative to the working directory. On a disk of this machine, not on a network file system.',
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
    description: 'Address to listen on.',
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
  TLS_CERT_FILE: {
    group: 'TLS',
    schema: anyText,
    unset: 'Plain HTTP: put a proxy that ends TLS in front.',
    required: 'with TLS_KEY_FILE',
    secret: false,
    description: 'PEM file of the certificate chain.',
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
      'PEM file of the authorities whose certificates agents must show. `backhaul-agent` shows none by itself: only for agents of your own, or behind a TLS tunnel on the agent’s side. Needs TLS_CERT_FILE and TLS_KEY_FILE.',
    example: '/etc/backhaul/tls/agents-ca.crt',
  },
  LOG_LEVEL: {
    group: 'Logging',
    schema: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    default: 'info',
    secret: false,
    description: 'Least severe entries that are logged: trace, debug, info, warn, error, fatal or silent.',
    example: 'debug',
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
