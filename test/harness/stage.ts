import { setTimeout as sleep } from 'node:timers/promises';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { BackhaulClient } from '@backhaul/client';
import type { TriggerRequest, UploadRecord } from '@backhaul/protocol';
import { type AccessLogEntry, readAccessLog } from './access-log.ts';
import type { S3FaultProxy } from '../faults/injection/s3/s3-fault-proxy.ts';
import type { StoreBehaviour } from '../faults/injection/stores/store-behaviour.ts';
import { TcpFaultProxy } from '../faults/injection/tcp/tcp-fault-proxy.ts';
import { type S3Target, type S3TargetOptions, startS3Target } from './object-store.ts';
import { type Exit, Program, type ProgramOptions, logged } from './program.ts';
import { serverEnvironment, startServer } from './stage-server.ts';
import { type StageLinkOptions, type StageLinks, startStageLinks } from './stage-links.ts';
import { type TemporaryDirectory, temporaryDirectory } from './temporary-directory.ts';
import { TokenSigner } from './tokens.ts';

export interface StageOptions extends StageLinkOptions {
  /** Settings that override the stage's own for the server, also after a restart. */
  readonly env?: Readonly<Record<string, string>>;
  /** A wrapper command for the server, with its arguments; not used after a restart. */
  readonly through?: readonly string[];
  /** Arguments of the server besides its port; not used after a restart. */
  readonly serverArgs?: readonly string[];
  /** Directory for all data, which is not removed; by default a temporary directory. */
  readonly directory?: TemporaryDirectory;
  /** Runs all programs from the output of `npm run build`; by default from their sources. */
  readonly compiled?: boolean;
  /** The `bin` directories of another release, for the programs to start from there. */
  readonly installedIn?: { readonly [Part in 'server' | 'agent' | 'cli']?: string | undefined };
  /** Data directory of the embedded store; by default in the stage's directory. */
  readonly objects?: string;
  /** Starts the store; by default {@link startS3Target}. */
  readonly s3?: (dataDirectory: string, options: S3TargetOptions) => Promise<S3Target>;
}

/** A store and a server as real processes, with methods to start agents and the command line. */
export class Stage implements AsyncDisposable {
  readonly directory: TemporaryDirectory;
  readonly s3: S3Target;
  readonly tokens: TokenSigner;
  readonly client: BackhaulClient;
  readonly operatorToken: string;
  readonly #cleanup: AsyncDisposableStack;
  readonly #links: StageLinks;
  readonly #network: TcpFaultProxy | undefined;
  readonly #env: Readonly<Record<string, string>>;
  /** Options of every program that the stage starts. */
  readonly #common: { readonly cwd: string; readonly compiled: boolean };
  #installedIn: NonNullable<StageOptions['installedIn']>;
  #server: Program;
  #restarting: Promise<void> = Promise.resolve();
  #url: string;

  private constructor(parts: {
    directory: TemporaryDirectory;
    s3: S3Target;
    tokens: TokenSigner;
    operatorToken: string;
    links: StageLinks;
    network: TcpFaultProxy | undefined;
    env: Readonly<Record<string, string>>;
    compiled: boolean;
    installedIn: NonNullable<StageOptions['installedIn']>;
    server: Program;
    url: string;
    cleanup: AsyncDisposableStack;
  }) {
    this.directory = parts.directory;
    this.s3 = parts.s3;
    this.tokens = parts.tokens;
    this.operatorToken = parts.operatorToken;
    this.#links = parts.links;
    this.#network = parts.network;
    this.#env = parts.env;
    this.#common = { cwd: parts.directory.path, compiled: parts.compiled };
    this.#installedIn = parts.installedIn;
    this.#server = parts.server;
    this.#url = parts.url;
    this.#cleanup = parts.cleanup;
    this.client = new BackhaulClient({ url: parts.url, token: parts.operatorToken });
  }

  static async start(options: StageOptions = {}): Promise<Stage> {
    await using cleanup = new AsyncDisposableStack();
    const directory = options.directory ?? cleanup.use(await temporaryDirectory());
    const startStore = options.s3 ?? startS3Target;
    const { compiled = false, installedIn = {} } = options;
    const s3 = cleanup.use(
      await startStore(options.objects ?? directory.join('objects'), {
        accessLog: accessLogOf(directory),
        compiled,
      }),
    );
    const links = cleanup.use(await startStageLinks(s3, options));
    const tokens = new TokenSigner();
    const operatorToken = await (installedIn.server === undefined
      ? tokens.operator()
      : tokens.operatorOfPreviousRelease());
    const env = { ...serverEnvironment(s3, tokens, directory), ...links.environment, ...options.env };
    const { server, url } = await startServer('0', {
      ...{ env, cwd: directory.path, compiled },
      through: options.through ?? [],
      args: options.serverArgs ?? [],
      ...from(installedIn.server),
    });
    const network =
      options.networkFaults === true ? cleanup.use(await TcpFaultProxy.start({ target: url })) : undefined;
    return new Stage({
      ...{ directory, s3, tokens, operatorToken, links, network, env, compiled, installedIn, server, url },
      cleanup: cleanup.move(),
    });
  }

  /** Proxy between all programs and the store. @throws TypeError on a stage without `faults: true`. */
  get faults(): S3FaultProxy {
    return required(this.#links.faults, 'faults');
  }

  /** How the store differs from S3. @throws TypeError on a stage without a `store`. */
  get behaviour(): StoreBehaviour {
    return required(this.#links.behaviour, 'store');
  }

  /** Proxy between agents and server. @throws TypeError on a stage without `networkFaults: true`. */
  get network(): TcpFaultProxy {
    return required(this.#network, 'networkFaults');
  }

  /** Proxy between agents and store. @throws TypeError on a stage without `storeNetworkFaults: true`. */
  get storeNetwork(): TcpFaultProxy {
    return required(this.#links.storeNetwork, 'storeNetworkFaults');
  }

  /** Proxy between server and store. @throws TypeError on a stage without `serverStoreNetworkFaults: true`. */
  get serverStoreNetwork(): TcpFaultProxy {
    return required(this.#links.serverStoreNetwork, 'serverStoreNetworkFaults');
  }

  get server(): Program {
    return this.#server;
  }

  /** The server's URL, e.g. `http://127.0.0.1:4711`. */
  get url(): string {
    return this.#url;
  }

  /** The server's URL for agents, with `ws:`; uses {@link network} if there is one. */
  get webSocketUrl(): string {
    return (this.#network?.endpoint ?? this.#url).replace(/^http/, 'ws');
  }

  /**
   * Stops the server, by default with SIGTERM, and restarts it on the same port and database; if `upgraded`, from this
   * repository instead of its previous release.
   */
  async restartServer(
    options: { signal?: NodeJS.Signals; env?: Readonly<Record<string, string>>; upgraded?: boolean } = {},
  ): Promise<Exit> {
    const restarting = this.#restart(options);
    // Disposal waits for this, because a server that starts later would keep running.
    this.#restarting = restarting.then(
      () => undefined,
      () => undefined,
    );
    return await restarting;
  }

  async #restart({
    signal = 'SIGTERM',
    env,
    upgraded = false,
  }: Parameters<Stage['restartServer']>[0] = {}): Promise<Exit> {
    this.#server.kill(signal);
    const exit = await this.#server.exit;
    const { port } = new URL(this.#url);
    if (upgraded) this.#installedIn = { ...this.#installedIn, server: undefined };
    const { server, url } = await startServer(port, {
      ...this.#common,
      env: { ...this.#env, ...env },
      ...from(this.#installedIn.server),
    });
    this.#server = server;
    this.#url = url;
    return exit;
  }

  /** Starts an agent and waits until it is connected. */
  async startAgent(
    clientId: string,
    args: readonly string[],
    options: Pick<ProgramOptions, 'withoutReadingRights' | 'through'> = {},
  ): Promise<Program> {
    const agent = this.#cleanup.use(
      new Program('backhaul-agent', {
        args: [
          ...['--client-id', clientId, '--server-url', this.webSocketUrl, '--log-format', 'json'],
          ...args,
        ],
        env: { BACKHAUL_TOKEN: await this.tokens.agent(clientId) },
        ...this.#common,
        ...from(this.#installedIn.agent),
        ...options,
      }),
    );
    await agent.line(logged('connected'));
    return agent;
  }

  /** Starts an agent without waiting for its connection. */
  spawnAgent(options: ProgramOptions): Program {
    return this.#cleanup.use(new Program('backhaul-agent', { ...this.#common, ...options }));
  }

  /** Starts another server with the stage's settings, without waiting until it listens. */
  spawnServer(options: { env?: Readonly<Record<string, string>>; args?: readonly string[] } = {}): Program {
    return this.#cleanup.use(
      new Program('backhaul-server', {
        args: ['--port', '0', ...(options.args ?? [])],
        env: { ...this.#env, ...options.env },
        ...this.#common,
      }),
    );
  }

  /** Pulls a file and waits until the upload ends, whatever its result. */
  async pull(clientId: string, request: TriggerRequest): Promise<UploadRecord> {
    const accepted = await this.client.triggerDownload(clientId, request);
    return await this.ended(accepted.upload_id);
  }

  /** Waits until an upload has ended and returns its record. */
  async ended(uploadId: string, options: { deadlineMs?: number } = {}): Promise<UploadRecord> {
    return await this.recordWhen(uploadId, ({ completed_at }) => completed_at !== null, options);
  }

  /**
   * Returns the first version of an upload record that `holds` accepts.
   *
   * @throws Error if the upload ends first, or no such version arrives within `deadlineMs`, by default 60 s.
   */
  async recordWhen(
    uploadId: string,
    holds: (record: UploadRecord) => boolean,
    { deadlineMs = 60_000 }: { deadlineMs?: number } = {},
  ): Promise<UploadRecord> {
    const signal = AbortSignal.timeout(deadlineMs);
    let last: UploadRecord | undefined;
    for await (const record of this.client.followUpload(uploadId, { signal })) {
      if (holds(record)) return record;
      last = record;
    }
    throw new Error(`upload ${uploadId} ended otherwise: ${JSON.stringify(last)}`);
  }

  /** Returns the requests logged by a store of this repository; other stores write no such log. */
  storeRequests(): Promise<AccessLogEntry[]> {
    return readAccessLog(accessLogOf(this.directory));
  }

  /** Returns the keys of the multipart uploads that are open in the store. */
  async openMultipartUploads(): Promise<string[]> {
    const { client, bucket } = this.s3;
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    return Uploads.map(({ Key = '' }) => Key);
  }

  /** Waits until no multipart upload is open: an upload ends before its abort reaches the store. */
  async noOpenMultipartUploads({ deadlineMs = 10_000 }: { deadlineMs?: number } = {}): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    for (;;) {
      const keys = await this.openMultipartUploads();
      if (keys.length === 0) return;
      if (performance.now() > deadline) throw new Error(`the store still holds ${keys.join(', ')}`);
      await sleep(20);
    }
  }

  /** Runs the command line and waits until it exits. */
  async cli(...args: string[]): Promise<Exit> {
    await using program = this.startCli(args);
    return await program.exit;
  }

  /** @param env Variables that override the stage's own. */
  startCli(args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
    return new Program('backhaul', {
      args,
      env: { BACKHAUL_URL: this.#url, BACKHAUL_TOKEN: this.operatorToken, ...env },
      ...this.#common,
      ...from(this.#installedIn.cli),
    });
  }

  /** Sends a request with the operator token. */
  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (!headers.has('authorization')) headers.set('authorization', `Bearer ${this.operatorToken}`);
    return fetch(`${this.#url}${path}`, { redirect: 'manual', ...init, headers });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#restarting;
    // Calls and connections that a test still holds would delay the server's exit.
    this.#links.faults?.clear();
    const { storeNetwork, serverStoreNetwork } = this.#links;
    for (const link of [this.#network, storeNetwork, serverStoreNetwork]) link?.reset();
    await this.#server.stop();
    await this.#cleanup.disposeAsync();
  }
}

function from(installedIn: string | undefined): Pick<ProgramOptions, 'installedIn'> {
  return installedIn === undefined ? {} : { installedIn };
}

function required<Link>(link: Link | undefined, option: keyof StageLinkOptions): Link {
  if (link === undefined) {
    throw new TypeError(`start the stage with { ${option}: ${option === 'store' ? '…' : 'true'} }`);
  }
  return link;
}

function accessLogOf(directory: TemporaryDirectory): string {
  return directory.join('store-access.log');
}
