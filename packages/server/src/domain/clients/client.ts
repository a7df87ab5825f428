/** A machine that has connected at least once. Times are milliseconds since the epoch. */
export interface Client {
  readonly clientId: string;
  readonly firstSeenAt: number;
  readonly lastSeenAt: number;
  readonly agentVersion: string;
  readonly platform: { readonly os: string; readonly arch: string; readonly hostname: string | null };
  readonly capabilities: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** The agent's `--file`; what a trigger without `file_path` asks for. */
  readonly defaultFilePath: string | null;
  /** Of its newest session; grows with every new one. */
  readonly epoch: number;
  /** When its present session began; null while it is away. */
  readonly connectedSince: number | null;
}

/** What `hello` says about the machine. */
export type ClientDescription = Pick<
  Client,
  'agentVersion' | 'platform' | 'capabilities' | 'labels' | 'defaultFilePath'
>;
