import type { ProxyVariables } from '@backhaul/program';
import type { PeerLimits, UploadLimits } from '@backhaul/protocol';
import type { TokenRules } from '../auth/token-verifier.ts';
import type { ConnectionSettings } from '../http/connection-limits.ts';
import type { S3Settings } from '../s3/s3-settings.ts';
import type { SettingValues } from './settings.ts';

/** Where the keys come from that tokens are checked with. */
export type JwtSource =
  | {
      readonly kind: 'secret';
      readonly secret: string;
      /** Accepted too, while tokens are replaced. */
      readonly previous?: string;
    }
  | { readonly kind: 'public-key-file'; readonly path: string }
  | { readonly kind: 'jwks'; readonly url: string; readonly maxAgeMs: number };

/** Absolute paths; each was readable when the configuration was loaded. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Authorities whose certificates agents must show; null if they need none. */
  readonly clientCaFile: string | null;
  /** Whether the name in an agent's certificate must be that of its token. */
  readonly clientMatch: 'client_id' | 'none';
}

/** What peers may use of the server at most; 0 is no limit. */
export interface Limits extends ConnectionSettings {
  /** Event streams and waiting triggers, over all tokens. */
  readonly heldRequests: number;
  /** The same for the tokens of one subject. */
  readonly heldRequestsPerToken: number;
  /** Uploads that have not ended. */
  readonly unfinishedPerToken: number;
  readonly unfinishedPerClient: number;
  /** What the messages of one agent may cost. */
  readonly agentFrames: PeerLimits;
}

interface CommonConfig {
  readonly setupBucket: boolean;
  readonly host: string;
  readonly port: number;
  readonly tls: TlsFiles | null;
  /** Absolute path of the SQLite database. */
  readonly databasePath: string;
  /** Bytes. */
  readonly maxFileSize: number;
  /** Of each upload, by default. */
  readonly uploadLimits: UploadLimits;
  readonly retentionDays: number;
  readonly retentionTrustsClock: boolean;
  readonly orphanAgeSeconds: number;
  readonly limits: Limits;
  readonly proxies: ProxyVariables;
  /** Addresses and ranges of reverse proxies whose X-Forwarded-For counts. */
  readonly trustedProxies: readonly string[];
  /** The most that `Prefer: wait` waits behind any reverse proxy. */
  readonly proxyWaitSeconds: number;
  /** Whether `read` of tokens from before the split of scopes includes `content` and `metrics` for a while. */
  readonly legacyReadScope: boolean;
  readonly logLevel: SettingValues['LOG_LEVEL'];
  readonly logFormat: SettingValues['LOG_FORMAT'];
}

/** All that a server needs. */
export interface Config extends CommonConfig {
  readonly kind: 'complete';
  readonly s3: S3Settings;
  readonly jwt: JwtSource;
  /** Absent for tokens as `backhaul token` makes them. */
  readonly tokenRules?: TokenRules;
}

/** What `--dev` starts from; `startDevMode` makes a {@link Config} of it. */
export interface DevConfig extends CommonConfig {
  readonly kind: 'dev';
  /** HOST where it was not given as a flag; null if it was not set. */
  readonly ignoredHost: string | null;
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
