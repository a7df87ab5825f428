import type { ProxyVariables } from '@backhaul/program';
import type { PeerLimits, UploadLimits } from '@backhaul/protocol';
import type { JwtSource } from '../auth/token-keys.ts';
import type { TokenRules } from '../auth/token-verifier.ts';
import type { ConnectionSettings } from '../http/connection-limits.ts';
import type { TlsCertificateFiles } from '../http/tls-certificates.ts';
import type { S3Settings } from '../s3/s3-settings.ts';
import type { ClientCertificateMatch } from '../websocket/upgrade-checks.ts';
import type { S3Preferences } from './s3-config.ts';
import type { SettingValues } from './settings.ts';

/** Absolute paths; each was readable when the configuration was loaded. */
export interface TlsFiles extends TlsCertificateFiles {
  /** Required content of agents' certificates, if `clientCaFile` is set. */
  readonly clientMatch: ClientCertificateMatch;
}

/** Limits for peers; 0 is no limit. */
export interface Limits extends ConnectionSettings {
  /** Event streams and waiting triggers, for all tokens together. */
  readonly heldRequests: number;
  /** The same for the tokens of one subject. */
  readonly heldRequestsPerToken: number;
  /** Unfinished uploads. */
  readonly unfinishedPerToken: number;
  readonly unfinishedPerClient: number;
  /** Budgets for the messages of one agent. */
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
  /** Default limits of each upload. */
  readonly uploadLimits: UploadLimits;
  readonly retentionDays: number;
  readonly auditRetentionDays: number;
  /** 0 is no limit. */
  readonly auditMaxRows: number;
  readonly retentionTrustsClock: boolean;
  readonly orphanAgeSeconds: number;
  readonly limits: Limits;
  readonly proxies: ProxyVariables;
  /** Addresses and ranges of reverse proxies whose X-Forwarded-For counts. */
  readonly trustedProxies: readonly string[];
  /** Maximum wait of `Prefer: wait` for requests through a reverse proxy. */
  readonly proxyWaitSeconds: number;
  /** Whether `read` in tokens without `scope_version` temporarily includes `content` and `metrics`. */
  readonly legacyReadScope: boolean;
  /** Whether agents' tokens are renewed, where this server signs tokens. */
  readonly renewsTokens: boolean;
  readonly logLevel: SettingValues['LOG_LEVEL'];
  readonly logFormat: SettingValues['LOG_FORMAT'];
}

/** The complete configuration of a server. */
export interface Config extends CommonConfig {
  readonly kind: 'complete';
  readonly s3: S3Settings;
  readonly jwt: JwtSource;
  /** Absent for tokens of `backhaul token`. */
  readonly tokenRules?: TokenRules;
}

/** Configuration with `--dev`; `startDevMode` completes it to a {@link Config}. */
export interface DevConfig extends CommonConfig {
  readonly kind: 'dev';
  /** HOST from a source other than the flag, which is ignored; null if it was not set. */
  readonly ignoredHost: string | null;
  /** Null for the embedded object store. */
  readonly s3: S3Settings | null;
  /** For the embedded object store. */
  readonly s3Preferences: S3Preferences;
  /** Null to generate one. */
  readonly jwtSecret: string | null;
  /** Environment of child processes: the server's own, without its settings. */
  readonly childEnvironment: Readonly<Record<string, string>>;
}
