import { setTimeout as sleep } from 'node:timers/promises';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { BackhaulClient } from '@backhaul/client';
import type { TriggerRequest, UploadRecord } from '@backhaul/protocol';
import { type AccessLogEntry, readAccessLog } from './demo/access-log.ts';
import type { S3FaultProxy } from './faults/s3/index.ts';
import type { StoreBehaviour } from './faults/stores/index.ts';
import { TcpFaultProxy } from './faults/tcp/index.ts';
import { type S3Target, type S3TargetOptions, startS3Target } from './object-store.ts';
import { type Exit, Program, type ProgramOptions, logged } from './program.ts';
import { serverEnvironment, startServer } from './stage-server.ts';
import { type StageLinkOptions, type StageLinks, startStageLinks } from './stage-links.ts';
import { type TemporaryDirectory, temporaryDirectory } from './temporary-directory.ts';
import { TokenSigner } from './tokens.ts';

export interface StageOptions extends StageLinkOptions {
  /** Settings of the server, over the stage's own. They hold for its restarts too. */
  readonly env?: Readonly<Record<string, string>>;
  /** A command that starts the server, with its arguments; not after a restart. */
  readonly through?: readonly string[];
  /** Arguments of the server, besides its port; not after a restart. */
  readonly serverArgs?: readonly string[];
  /** Where everything is kept, and stays; by default in a temporary directory. */
  readonly directory?: TemporaryDirectory;
  /** Whether server, agents, command line and embedded store are what `npm run build` made; by default they run from their sources. */
  readonly compiled?: boolean;
  /** A `bin` folder of another release, for programs that are to be started from there. */
  readonly installedIn?: { readonly [Part in 'server' | 'agent' | 'cli']?: string | undefined };
  /** Where the embedded store keeps its data; by default in the stage's directory. */
  readonly objects?: string;
  /** The store; by default {@link startS3Target}'s. */
  readonly s3?: (dataDirectory: string, options: S3TargetOptions) => Promise<S3Target>;
}

/** A store and a server as real processes, and what is needed to start agents and the command line beside them. */
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
  /** How each program is started. */
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

  /** Between everything and the store. @throws TypeError on a stage without `faults: true`. */
  get faults(): S3FaultProxy {
    return required(this.#links.faults, 'faults');
  }

  /** How the store differs. @throws TypeError on a stage without a `store`. */
  get behaviour(): StoreBehaviour {
    return required(this.#links.behaviour, 'store');
  }

  /** Between agents and server. @throws TypeError on a stage without `networkFaults: true`. */
  get network(): TcpFaultProxy {
    return required(this.#network, 'networkFaults');
  }

  /** Between agents and store. @throws TypeError on a stage without `storeNetworkFaults: true`. */
  get storeNetwork(): TcpFaultProxy {
    return required(this.#links.storeNetwork, 'storeNetworkFaults');
  }

  /** Between server and store. @throws TypeError on a stage without `serverStoreNetworkFaults: true`. */
  get serverStoreNetwork(): TcpFaultProxy {
    return required(this.#links.serverStoreNetwork, 'serverStoreNetworkFaults');
  }

  get server(): Program {
    return this.#server;
  }

  /** E.g. `http://127.0.0.1:4711`. */
  get url(): string {
    return this.#url;
  }

  /** For agents: the same with `ws:`, or over {@link network} if there is one. */
  get webSocketUrl(): string {
    return (this.#network?.endpoint ?? this.#url).replace(/^http/, 'ws');
  }

  /**
   * Ends the server, by SIGTERM or as told, and starts it again on the same port and database; if `upgraded`, from this
   * repository, whatever release it was of.
   */
  async restartServer(
    options: { signal?: NodeJS.Signals; env?: Readonly<Record<string, string>>; upgraded?: boolean } = {},
  ): Promise<Exit> {
    const restarting = this.#restart(options);
    // Waited for by who closes the stage: a server that starts after that would stay.
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

  /** Starts an agent and waits until the server has welcomed it. */
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

  /** Starts an agent without waiting for anything. */
  spawnAgent(options: ProgramOptions): Program {
    return this.#cleanup.use(new Program('backhaul-agent', { ...this.#common, ...options }));
  }

  /** Starts another server with the stage's settings, without waiting for anything. */
  spawnServer(options: { env?: Readonly<Record<string, string>>; args?: readonly string[] } = {}): Program {
    return this.#cleanup.use(
      new Program('backhaul-server', {
        args: ['--port', '0', ...(options.args ?? [])],
        env: { ...this.#env, ...options.env },
        ...this.#common,
      }),
    );
  }

  /** Pulls a file and waits for the end, whatever it is. */
  async pull(clientId: string, request: TriggerRequest): Promise<UploadRecord> {
    const accepted = await this.client.triggerDownload(clientId, request);
    return await this.ended(accepted.upload_id);
  }

  /** The record of an upload, once it has ended. */
  async ended(uploadId: string, options: { deadlineMs?: number } = {}): Promise<UploadRecord> {
    return await this.recordWhen(uploadId, ({ completed_at }) => completed_at !== null, options);
  }

  /**
   * The first version of a record that `holds`.
   *
   * @throws Error if the upload ended before, or nothing like it came within `deadlineMs`, by default 60 s.
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

  /** What a store of this repository was asked so far; another one does not tell. */
  storeRequests(): Promise<AccessLogEntry[]> {
    return readAccessLog(accessLogOf(this.directory));
  }

  /** Keys of the multipart uploads that the store still holds. */
  async openMultipartUploads(): Promise<string[]> {
    const { client, bucket } = this.s3;
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    return Uploads.map(({ Key = '' }) => Key);
  }

  /** Waits until the store holds none: an upload ends before its abort has reached the store. */
  async noOpenMultipartUploads({ deadlineMs = 10_000 }: { deadlineMs?: number } = {}): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    for (;;) {
      const keys = await this.openMultipartUploads();
      if (keys.length === 0) return;
      if (performance.now() > deadline) throw new Error(`the store still holds ${keys.join(', ')}`);
      await sleep(20);
    }
  }

  /** Runs the command line to its end. */
  async cli(...args: string[]): Promise<Exit> {
    await using program = this.startCli(args);
    return await program.exit;
  }

  /** @param env Over the stage's own. */
  startCli(args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
    return new Program('backhaul', {
      args,
      env: { BACKHAUL_URL: this.#url, BACKHAUL_TOKEN: this.operatorToken, ...env },
      ...this.#common,
      ...from(this.#installedIn.cli),
    });
  }

  /** A request with the operator's token. */
  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (!headers.has('authorization')) headers.set('authorization', `Bearer ${this.operatorToken}`);
    return fetch(`${this.#url}${path}`, { redirect: 'manual', ...init, headers });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#restarting;
    // What a test left silent or held would hold up the server's end.
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
