import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, type BackhaulClient } from '@backhaul/client';
import { type ChangePolicy, isTerminal, type UploadRecord } from '@backhaul/protocol';
import type { Stage } from '../harness/stage.ts';
import type { Journal } from './journal.ts';
import { patiently } from './patiently.ts';
import type { Pull, Wanted } from './pull.ts';
import type { Results } from './results.ts';
import { readStoredObject } from './stored-object.ts';
import { judge } from './verdict.ts';

const POLL_MS = 300;
const LONGEST_PAUSE_MS = 1500;
const CANCELLED_SHARE = 0.12;
const LATEST_CANCEL_MS = 6000;
const RETRIED_SHARE = 0.5;
const MOST_RETRIES = 2;
/** The other completed uploads stay for the final check, as far as there is space. */
const REMOVED_SHARE = 0.5;
const MOST_KEPT_BYTES = 256 * 1024 ** 2;

export interface OperatorOptions {
  readonly stage: Stage;
  readonly results: Results;
  readonly journal: Journal;
  readonly random: () => number;
  readonly clientId: string;
  readonly wanted: readonly Wanted[];
  /** Keys of permanently denied calls. */
  readonly deniedKeys: ReadonlySet<string>;
  /** No new pull starts after this signal. */
  readonly over: AbortSignal;
  /** All activity stops after this signal. */
  readonly signal: AbortSignal;
}

type Request = 'trigger' | 'look' | 'cancel' | 'retry' | 'remove';

/** Pulls files sequentially from one agent, sometimes cancels or retries, and checks the results. */
export class Operator {
  readonly #options: OperatorOptions;
  #keptBytes = 0;

  constructor(options: OperatorOptions) {
    this.#options = options;
  }

  /** @throws the signal's reason. */
  async run(): Promise<void> {
    const { over, signal, random, results } = this.#options;
    while (!over.aborted) {
      try {
        const pull = await this.#trigger();
        if (pull !== undefined) await this.#see(pull);
      } catch (error) {
        signal.throwIfAborted();
        results.wrongOutcome(`a request was answered by ${String(error)}`);
      }
      await sleep(random() * LONGEST_PAUSE_MS, undefined, { signal });
    }
  }

  /** @returns undefined if another call already handles the upload. */
  async #trigger(): Promise<Pull | undefined> {
    const { random, clientId, wanted: choices, results, journal } = this.#options;
    const wanted = choices[Math.floor(random() * choices.length)];
    if (wanted === undefined) throw new RangeError('there is nothing to pull');
    const policy = (['fail', 'restart', 'prefix'] as const)[Math.floor(random() * 3)] as ChangePolicy;
    const request = { file_path: wanted.path, on_change: policy, force: random() < 0.3 };
    const idempotencyKey = randomUUID();
    const askedAt = Date.now();
    const { upload_id: uploadId } = await this.#ask('trigger', (client) =>
      client.triggerDownload(clientId, request, { idempotencyKey }),
    );
    if (results.pulls.has(uploadId)) return undefined;
    const pull = {
      uploadId,
      clientId,
      wanted,
      policy,
      askedAt,
      cancelAsked: false,
      retries: 0,
      removed: false,
    };
    results.pulls.set(uploadId, pull);
    journal.note(`${uploadId} triggered: ${clientId} ${wanted.path} ${policy}`);
    return pull;
  }

  /** Follows the upload until it has ended and needs no further request. */
  async #see(pull: Pull): Promise<void> {
    const { random, over, signal } = this.#options;
    const cancelAt = random() < CANCELLED_SHARE ? Date.now() + random() * LATEST_CANCEL_MS : Infinity;
    for (;;) {
      const record = await this.#ask('look', (client) => client.getUpload(pull.uploadId));
      if (isTerminal(record.status)) {
        const again = !over.aborted && pull.retries < MOST_RETRIES && random() < RETRIED_SHARE;
        await this.#judge(pull, record);
        if (record.status === 'completed' || !again) return await this.#leave(pull, record);
        await this.#retry(pull);
      } else if (Date.now() >= cancelAt && !pull.cancelAsked) {
        await this.#cancel(pull);
      }
      await sleep(POLL_MS, undefined, { signal });
    }
  }

  async #cancel(pull: Pull): Promise<void> {
    pull.cancelAsked = true;
    this.#options.journal.note(`${pull.uploadId} cancel`);
    await this.#ask('cancel', (client) =>
      client.cancelUpload(pull.uploadId).catch(unless('upload_finished', 'upload_not_found')),
    );
  }

  async #retry(pull: Pull): Promise<void> {
    pull.askedAt = Date.now();
    pull.cancelAsked = false;
    pull.retries += 1;
    this.#options.journal.note(`${pull.uploadId} retry`);
    // An earlier try may have succeeded although its response was lost.
    await this.#ask('retry', (client) =>
      client.retryUpload(pull.uploadId).catch(unless('upload_not_retryable')),
    );
  }

  async #judge(pull: Pull, record: UploadRecord): Promise<void> {
    const { stage, results, deniedKeys, journal, signal } = this.#options;
    const { status, error, attempt, key, sha256, size } = record;
    journal.note(`${pull.uploadId} ${status} ${error ?? ''} in attempt ${attempt}: ${record.message ?? ''}`);
    let wrong = await judge(pull, record, { isDenied: deniedKeys.has(key) });
    if (status === 'completed') {
      const object = await readStoredObject(stage, key, signal);
      if (object?.sha256 !== sha256 || object?.sizeBytes !== size) {
        wrong = `its object is ${object?.sizeBytes} bytes of SHA-256 ${object?.sha256}, by its record ${size} of ${sha256}`;
      }
    }
    if (wrong !== undefined) results.wrongOutcome(`${pull.uploadId} of ${pull.clientId}: ${wrong}`);
  }

  async #leave(pull: Pull, record: UploadRecord): Promise<void> {
    const { results, random } = this.#options;
    results.ended(pull, record);
    if (record.status !== 'completed') return;
    const sizeBytes = record.size ?? 0;
    if (this.#keptBytes + sizeBytes <= MOST_KEPT_BYTES && random() >= REMOVED_SHARE) {
      this.#keptBytes += sizeBytes;
      return;
    }
    pull.removed = true;
    await this.#ask('remove', (client) =>
      client.deleteUpload(pull.uploadId, { object: true }).catch(unless('upload_not_found')),
    );
  }

  async #ask<Answer>(what: Request, ask: (client: BackhaulClient) => Promise<Answer>): Promise<Answer> {
    const { stage, results, signal } = this.#options;
    if (what !== 'look') results.requests.add(what);
    return await patiently(stage, ask, signal);
  }
}

/** Ignores the errors of a repeated request whose first try took effect. */
function unless(...codes: readonly string[]): (error: unknown) => undefined {
  return (error) => {
    if (error instanceof ApiError && codes.includes(error.code)) return undefined;
    throw error;
  };
}
