import assert from 'node:assert/strict';
import { type UploadRecord, uploadRecordSchema } from '@backhaul/protocol';

const DEADLINE_MS = 20_000;

/** Sends an operator's requests over plain HTTP. */
export class Operator {
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  request(method: string, path: string, body?: Readonly<Record<string, unknown>>): Promise<Response> {
    return fetch(`${this.#url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
  }

  async trigger(clientId: string, filePath: string): Promise<UploadRecord> {
    const answer = await this.request('POST', `/trigger-download/${clientId}`, { file_path: filePath });
    return await recordOf(answer, 202);
  }

  async record(uploadId: string): Promise<UploadRecord> {
    return await recordOf(await this.request('GET', `/uploads/${uploadId}`), 200);
  }

  async cancel(uploadId: string): Promise<Response> {
    return await this.request('POST', `/uploads/${uploadId}/cancel`);
  }

  /** Follows the record's events until `holds` returns true. */
  async recordWhen(uploadId: string, holds: (record: UploadRecord) => boolean): Promise<UploadRecord> {
    const stream = await this.request('GET', `/uploads/${uploadId}/events`);
    assert.equal(stream.status, 200);
    let text = '';
    for await (const chunk of stream.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      const lines = text.split(/\r\n|\r|\n/);
      text = lines.pop() ?? '';
      for (const line of lines.filter((one) => one.startsWith('data:'))) {
        const record = uploadRecordSchema.parse(JSON.parse(line.slice('data:'.length)));
        if (holds(record)) return record;
      }
    }
    throw new Error(`it ended otherwise: ${JSON.stringify(await this.record(uploadId))}`);
  }

  async ended(uploadId: string): Promise<UploadRecord> {
    return await this.recordWhen(uploadId, ({ completed_at }) => completed_at !== null);
  }

  /** Returns the bytes of the finished object from the presigned GET that the server redirects to. */
  async content(uploadId: string): Promise<Buffer> {
    const redirect = await this.request('GET', `/uploads/${uploadId}/content`);
    assert.equal(redirect.status, 302, await redirect.text());
    const object = await fetch(redirect.headers.get('location') ?? '');
    assert.equal(object.status, 200);
    return Buffer.from(await object.arrayBuffer());
  }
}

async function recordOf(answer: Response, status: number): Promise<UploadRecord> {
  const text = await answer.text();
  assert.equal(answer.status, status, text);
  return uploadRecordSchema.parse(JSON.parse(text));
}
