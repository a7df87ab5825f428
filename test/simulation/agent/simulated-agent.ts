import {
  type AgentMessage,
  type ErrorCode,
  type PrepareUpload,
  RESUME_CAPABILITY,
  type ServerMessage,
} from '@backhaul/protocol';
import type { Connection } from '../connection.ts';
import type { SimulatedFile } from './simulated-file.ts';
import type { Puts } from './simulated-put.ts';
import { SimulatedTransfer, type TransferEnv } from './simulated-transfer.ts';

const MAX_UPLOADS = 2;

interface AgentOptions {
  readonly clientId: string;
  readonly files: readonly SimulatedFile[];
  readonly canResume: boolean;
}

type AgentEnv = Pick<TransferEnv, 'now' | 'coverage' | 'checker'> & { readonly puts: Puts };

interface Entry {
  readonly transfer: SimulatedTransfer;
  /** Cancelled by the server; remembered, so that a late copy of its messages does not revive it. */
  isCancelled: boolean;
}

/** An agent's machine: its files, a process whose only state is its transfers, and a socket independent of both. */
export class SimulatedAgent {
  readonly clientId: string;
  readonly files: readonly SimulatedFile[];
  readonly #canResume: boolean;
  readonly #env: AgentEnv;
  #socket: Connection | undefined;
  #isWelcome = false;
  #transfers = new Map<string, Entry>();

  constructor({ clientId, files, canResume }: AgentOptions, env: AgentEnv) {
    this.clientId = clientId;
    this.files = files;
    this.#canResume = canResume;
    this.#env = env;
  }

  get socket(): Connection | undefined {
    if (this.#socket?.isOpenAtAgent === false) this.#socket = undefined;
    return this.#socket;
  }

  get activeTransfers(): SimulatedTransfer[] {
    return [...this.#transfers.values()].flatMap(({ transfer }) => (transfer.isActive ? [transfer] : []));
  }

  connect(socket: Connection): void {
    this.#socket = socket;
    this.#isWelcome = false;
    const running = [...this.#transfers.values()].filter(
      ({ transfer, isCancelled }) => !isCancelled && !transfer.isFinished,
    );
    socket.send({
      status: 'hello',
      agent_version: '0.0.0-simulation',
      platform: { os: 'linux', arch: 'x64' },
      capabilities: this.#canResume ? [RESUME_CAPABILITY] : [],
      limits: { max_uploads: MAX_UPLOADS, parallel_parts: 2 },
      labels: {},
      default_file_path: null,
      running: running.map(({ transfer }) => ({ upload_id: transfer.uploadId, attempt: transfer.attempt })),
    });
  }

  /** The process dies with all its state, and a new one starts. */
  kill(options: { loseFrames: boolean }): void {
    this.#transfers = new Map();
    this.socket?.cut(options);
  }

  receive(frame: ServerMessage | 'close'): void {
    if (frame === 'close') return this.socket?.cut({ loseFrames: false });
    switch (frame.action) {
      case 'welcome':
        this.#isWelcome = true;
        for (const decision of frame.uploads) {
          const transfer = this.#current(decision);
          if (decision.verdict === 'continue') {
            transfer?.continueTransfer();
          } else if (transfer !== undefined) {
            transfer.drop();
            this.#transfers.delete(decision.upload_id);
          }
        }
        return;
      case 'prepare_upload':
        return this.#prepare(frame);
      case 'download_file': {
        const { upload_id, attempt } = frame.upload_config;
        const entry = this.#find(upload_id);
        if (entry === undefined) this.#refuse({ upload_id, attempt }, 'agent_fault');
        else if (entry.transfer.attempt === attempt && !entry.isCancelled) entry.transfer.start(frame);
        return;
      }
      case 'part_urls':
        return this.#current(frame)?.takeUrls(frame);
      case 'cancel_upload': {
        const transfer = this.#current(frame);
        const entry = this.#transfers.get(frame.upload_id);
        if (transfer === undefined || entry === undefined) return;
        entry.isCancelled = true;
        transfer.drop();
        return;
      }
      case 'health_check':
      case 'list_directory':
      case 'disk_usage':
      case 'cancel_command':
      case 'renew_token':
        return;
      case 'error':
        this.#env.checker.report(`the server refused a message: ${frame.message}`);
        return;
    }
    frame satisfies never;
  }

  timePassed(): void {
    for (const { transfer } of this.#transfers.values()) transfer.timePassed();
  }

  #prepare(request: PrepareUpload): void {
    const known = this.#find(request.upload_id);
    if (known !== undefined && request.attempt < known.transfer.attempt) return;
    if (known !== undefined && request.attempt === known.transfer.attempt) {
      if (!known.isCancelled) known.transfer.repeat();
      return;
    }
    this.#transfers.get(request.upload_id)?.transfer.drop();
    if (this.activeTransfers.length >= MAX_UPLOADS) return this.#refuse(request, 'agent_busy');
    const file = this.files.find(({ path }) => path === request.file_path);
    if (file === undefined) return this.#refuse(request, 'file_not_found');
    const transfers = this.#transfers;
    const transfer = new SimulatedTransfer(
      this.#canResume ? request : { ...request, on_change: undefined },
      file,
      {
        ...this.#env,
        say: (message) => this.#transfers === transfers && this.#say(message),
        isConnected: () => this.socket !== undefined && this.#isWelcome,
        isAlive: () => this.#transfers === transfers,
      },
    );
    this.#transfers.set(request.upload_id, { transfer, isCancelled: false });
  }

  #say(message: AgentMessage): boolean {
    if (this.socket === undefined || !this.#isWelcome) return false;
    this.socket.send(message);
    return true;
  }

  #refuse({ upload_id, attempt }: { upload_id: string; attempt: number }, error: ErrorCode): void {
    this.#say({ status: 'failed', upload_id, attempt, error, message: `The agent says: ${error}.` });
  }

  /** A dropped transfer counts as unknown. */
  #find(uploadId: string): Entry | undefined {
    const entry = this.#transfers.get(uploadId);
    return entry !== undefined && entry.transfer.isFinished && !entry.isCancelled ? undefined : entry;
  }

  #current({ upload_id: uploadId, attempt }: { upload_id: string; attempt: number }) {
    const entry = this.#transfers.get(uploadId);
    return entry?.transfer.attempt === attempt && !entry.isCancelled ? entry.transfer : undefined;
  }
}
