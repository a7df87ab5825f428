import assert from 'node:assert/strict';
import type { PresignedPart, UploadRecord } from '@backhaul/protocol';
import type { AgentSocket, ServerMessageOf } from './agent-socket.ts';
import type { Operator } from './operator.ts';
import type { PretendFile } from './pretend-file.ts';

/** The server responds to messages about an attempt that never existed, and changes nothing. */
const NO_ATTEMPT = 999_999;

export interface UploadedPart {
  readonly part_number: number;
  readonly etag: string;
}

/** One attempt of an upload from the agent's view. */
export class Pull {
  readonly file: PretendFile;
  readonly request: ServerMessageOf<'prepare_upload'>;
  readonly #operator: Operator;

  constructor(operator: Operator, file: PretendFile, request: ServerMessageOf<'prepare_upload'>) {
    this.#operator = operator;
    this.file = file;
    this.request = request;
  }

  /** Fields of every message about the attempt. */
  get id(): { upload_id: string; attempt: number } {
    return { upload_id: this.request.upload_id, attempt: this.request.attempt };
  }

  get prepared(): ReturnType<PretendFile['prepared']> {
    return this.file.prepared(this.request);
  }

  announce(partNumber: number): ReturnType<PretendFile['announce']> {
    return this.file.announce(partNumber, this.request.plan);
  }

  async start(socket: AgentSocket): Promise<ServerMessageOf<'download_file'>> {
    socket.send(this.prepared);
    const download = await socket.next('download_file');
    assert.equal(download.upload_config.upload_id, this.request.upload_id);
    return download;
  }

  /** PUTs a part exactly as documented. */
  async put(signed: PresignedPart): Promise<UploadedPart> {
    const { part_number, url, headers } = signed;
    const body = new Uint8Array(this.file.part(part_number, this.request.plan));
    const signal = AbortSignal.timeout(60_000);
    const answer = await fetch(url, { method: 'PUT', headers, body, redirect: 'manual', signal });
    assert.equal(answer.status, 200, await answer.text());
    const etag = answer.headers.get('etag');
    assert.ok(etag, 'the store sent no ETag');
    return { part_number, etag };
  }

  completed(parts: readonly UploadedPart[]): Record<string, unknown> {
    const { name: file_name, size } = this.file;
    return { status: 'completed', ...this.id, file_name, size, parts, upload_duration_ms: 7 };
  }

  record(): Promise<UploadRecord> {
    return this.#operator.record(this.request.upload_id);
  }

  ended(): Promise<UploadRecord> {
    return this.#operator.ended(this.request.upload_id);
  }

  async assertFailed(error: UploadRecord['error']): Promise<UploadRecord> {
    const record = await this.ended();
    assert.equal(record.status, 'failed', JSON.stringify(record));
    assert.equal(record.error, error, record.message ?? '');
    return record;
  }

  /**
   * Waits until the server has handled all messages of `socket`, of this client, about the upload: it handles them in
   * order. Its responses to earlier messages are then in `unread`, and the record shows their effects.
   */
  async settle(socket: AgentSocket): Promise<void> {
    const { upload_id } = this.id;
    const parts = [{ part_number: 1, etag: '"x"' }];
    socket.send({ status: 'part_uploaded', upload_id, attempt: NO_ATTEMPT, parts });
    await socket.next(
      'cancel_upload',
      (cancel) => cancel.upload_id === upload_id && cancel.attempt === NO_ATTEMPT,
    );
  }

  /**
   * Asserts that `happening` leaves the record unchanged, including its version.
   *
   * @param owner The socket whose upload it is.
   * @param options.turns Number of messages that another socket has sent. The order between two sockets is undefined,
   * and the other gets no response; after as many round trips the server has handled its messages.
   */
  async assertUnchanged(
    owner: AgentSocket,
    happening: () => void | Promise<void>,
    { turns = 1 }: { turns?: number } = {},
  ): Promise<UploadRecord> {
    const before = await this.record();
    await happening();
    for (let turn = 0; turn < turns; turn += 1) await this.settle(owner);
    assert.deepEqual(await this.record(), before);
    return before;
  }
}
