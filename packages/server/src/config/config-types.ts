import type { S3Settings } from '../s3/s3-settings.ts';
import type { SettingValues } from './settings.ts';

/** Where the keys come from that tokens are checked with. */
export type JwtSource =
  | { readonly kind: 'secret'; readonly secret: string }
  | { readonly kind: 'public-key-file'; readonly path: string }
  | { readonly kind: 'jwks'; readonly url: string };

/** Absolute paths; each was readable when the configuration was loaded. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Authorities whose certificates agents must show; null if they need none. */
  readonly clientCaFile: string | null;
}

interface CommonConfig {
  readonly setupBucket: boolean;
  readonly host: string;
  readonly port: number;
  readonly tls: TlsFiles | null;
  /** Absolute path of the SQLite database. */
  readonly databasePath: string;
  /** Bytes; null for S3's own limit. */
  readonly maxFileSize: number | null;
  readonly retentionDays: number;
  readonly orphanAgeSeconds: number;
  readonly logLevel: SettingValues['LOG_LEVEL'];
}

/** All that a server needs. */
export interface Config extends CommonConfig {
  readonly kind: 'complete';
  readonly s3: S3Settings;
  readonly jwt: JwtSource;
}

/** What `--dev` starts from; `startDevMode` makes a {@link Config} of it. */
export interface DevConfig extends CommonConfig {
  readonly kind: 'dev';
  /** Null for the embedded object store. */
  readonly s3: S3Settings | null;
  /** For the embedded object store. */
  readonly s3Preferences: S3Preferences;
  /** Null to make one. */
  readonly jwtSecret: string | null;
  /** The environment that child processes get: the server's own, without any of its settings. */
  readonly childEnvironment: Readonly<Record<string, string>>;
}

/** Settings of S3 that do not say which store it is. */
export type S3Preferences = Omit<
  S3Settings,
  'endpoint' | 'region' | 'bucket' | 'accessKeyId' | 'secretAccessKey' | 'sessionToken'
>;
