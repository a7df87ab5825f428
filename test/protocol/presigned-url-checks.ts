import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { describe, test } from 'node:test';
import type { PresignedPart } from '@backhaul/protocol';
import { PretendFile, checksums } from './pretend-file.ts';
import type { Pull } from './pull.ts';
import type { SuiteClient } from './suite-client.ts';
import type { SuiteTarget } from './suite-target.ts';

const CHUNK = 5 * 1024 * 1024;
const MAX_RESETS = 10;
/** Four bytes whose CRC32 is 0, like that of an empty body. */
const SAME_CRC32_AS_NOTHING = Buffer.from('9d0ad96d', 'hex');

interface Put {
  readonly url: string;
  readonly method?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** A URL is valid only for the one PUT it was signed for. The server and its store enforce that together. */
export function presignedUrlChecks(target: () => SuiteTarget): void {
  describe('a presigned URL', { concurrency: false }, () => {
    for (const [what, change] of bindings) {
      test(`refuses ${what}`, async (t) => {
        await using client = await target().lend();
        const { pull, signed, other, right, complete } = await secondPart(client);
        const wrong = change({ right, signed, other, pull });
        if (wrong === undefined) return t.skip(`checksum_mode is ${pull.request.checksum_mode}`);
        const { status, text } = await answerOf(wrong);
        assert.ok(status >= 400 && status < 500, `${status} ${text}`);
        // Nothing of the refused PUT was stored, and the URL still works for its own PUT.
        const parts = await Promise.all([other, signed].map((one) => pull.put(one)));
        await complete(parts);
      });
    }

    test('refuses another length even where the CRC32 is the same', async (t) => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull, download } = await client.pullStarted(socket, new PretendFile(0));
      const mode = pull.request.checksum_mode;
      if (mode !== 'crc32') return t.skip(`checksum_mode is ${mode}`);
      const [signed] = download.upload_config.presigned_urls;
      assert.ok(signed);
      assert.equal(checksums(SAME_CRC32_AS_NOTHING).crc32, checksums(pull.file.bytes).crc32);
      const { status, text } = await answerOf({ ...signed, body: SAME_CRC32_AS_NOTHING });
      assert.ok(status >= 400 && status < 500, `${status} ${text}`);
    });

    test('is requested again by parts_ready, and the fresh one works', async () => {
      await using client = await target().lend();
      const { socket, pull, signed, other, complete } = await secondPart(client);
      const before = await pull.record();
      socket.send({ status: 'parts_ready', ...pull.id, parts: [pull.announce(2)] });
      const { presigned_urls, attempt, upload_id } = await socket.next('part_urls');
      assert.deepEqual({ upload_id, attempt }, pull.id);
      const [fresh] = presigned_urls;
      assert.ok(fresh && presigned_urls.length === 1);
      assert.equal(fresh.part_number, 2);
      assert.deepEqual(fresh.headers, signed.headers);
      assert.deepEqual(await pull.record(), before);
      await complete([await pull.put(other), await pull.put(fresh)]);
    });
  });
}

type Change = (given: {
  readonly right: Put;
  readonly signed: PresignedPart;
  readonly other: PresignedPart;
  readonly pull: Pull;
}) => Put | undefined;

/** The second part has 3 bytes. */
const bindings: readonly (readonly [what: string, change: Change])[] = [
  ['a byte more', ({ right }) => ({ ...right, body: Buffer.concat([right.body, Buffer.of(0)]) })],
  ['a byte less', ({ right }) => ({ ...right, body: right.body.subarray(1) })],
  ['an empty body', ({ right }) => ({ ...right, body: Buffer.of() })],
  [
    'other bytes under the checksum that was announced',
    ({ right, pull }) => (isBound(pull) ? { ...right, body: Buffer.from('abc') } : undefined),
  ],
  [
    'other bytes with their own checksum',
    ({ right, pull }) => {
      const mode = pull.request.checksum_mode;
      if (mode === 'none') return undefined;
      const body = Buffer.from('abc');
      const headers = { ...withoutChecksum(right), [checksumHeaders[mode]]: checksums(body)[mode] };
      return { ...right, body, headers };
    },
  ],
  [
    'no checksum',
    ({ right, pull }) => (isBound(pull) ? { ...right, headers: withoutChecksum(right) } : undefined),
  ],
  ['another key', ({ right }) => ({ ...right, url: changed(right.url, (url) => (url.pathname += '.exe')) })],
  [
    'another part number',
    ({ right }) => ({ ...right, url: changed(right.url, (url) => url.searchParams.set('partNumber', '1')) }),
  ],
  [
    'the number of the other part, with that part’s bytes',
    ({ right, pull, other }) => ({
      url: changed(right.url, (url) => url.searchParams.set('partNumber', '1')),
      headers: other.headers,
      body: pull.file.part(1, pull.request.plan),
    }),
  ],
  [
    'no part at all: the whole object',
    ({ right }) => ({
      ...right,
      url: changed(right.url, (url) => {
        url.searchParams.delete('partNumber');
        url.searchParams.delete('uploadId');
      }),
    }),
  ],
  [
    'a longer life',
    ({ right }) => ({
      ...right,
      url: changed(right.url, (url) => url.searchParams.set('X-Amz-Expires', '604800')),
    }),
  ],
  [
    'no signature',
    ({ right }) => ({
      ...right,
      url: changed(right.url, (url) => url.searchParams.delete('X-Amz-Signature')),
    }),
  ],
  ['GET', ({ right }) => ({ ...right, method: 'GET' })],
  ['POST', ({ right }) => ({ ...right, method: 'POST' })],
  ['DELETE, which would abort everything', ({ right }) => ({ ...right, method: 'DELETE' })],
  ['HEAD', ({ right }) => ({ ...right, method: 'HEAD' })],
];

const checksumHeaders = {
  crc32: 'x-amz-checksum-crc32',
  sha256: 'x-amz-checksum-sha256',
  md5: 'content-md5',
} as const;

function withoutChecksum({ headers }: Put): Record<string, string> {
  const names: readonly string[] = Object.values(checksumHeaders);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name.toLowerCase())));
}

function isBound(pull: Pull): boolean {
  return pull.request.checksum_mode !== 'none';
}

function changed(url: string, change: (url: URL) => void): string {
  const copy = new URL(url);
  change(copy);
  assert.notEqual(copy.href, url, 'the URL has nothing to change');
  return copy.href;
}

/**
 * Avoids fetch, which changes a GET with a body and a length set by the caller. A store that refuses a large body at
 * its header closes the connection, and its response could be lost: hence `Expect`.
 */
async function answerOf(put: Put): Promise<{ status: number; text: string }> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await answerOnce(put);
    } catch (error) {
      // versitygw says 100 Continue before it checks the signature, and closes with the body unread: whether the client
      // sees its response before the reset is random.
      const isReset = error instanceof Error && 'code' in error && error.code === 'ECONNRESET';
      if (!isReset || attempt === MAX_RESETS) throw error;
    }
  }
}

async function answerOnce({
  url,
  method = 'PUT',
  headers,
  body,
}: Put): Promise<{ status: number; text: string }> {
  const send = url.startsWith('https:') ? secureRequest : request;
  const asked = send(url, {
    method,
    headers: { ...headers, 'content-length': body.length, expect: '100-continue' },
    agent: false,
    signal: AbortSignal.timeout(20_000),
  });
  asked.flushHeaders();
  // A server may ignore `Expect` (RFC 9110, section 10.1.1).
  const timer = setTimeout(() => asked.end(body), 1000);
  asked.once('continue', () => {
    if (!asked.writableEnded) asked.end(body);
    clearTimeout(timer);
  });
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  clearTimeout(timer);
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += String(chunk);
  asked.destroy();
  return { status: answer.statusCode ?? 0, text };
}

async function secondPart(client: SuiteClient) {
  const { socket } = await client.session();
  const { pull, download } = await client.pullStarted(socket, new PretendFile(CHUNK + 3));
  const { presigned_urls } = download.upload_config;
  const other = presigned_urls.find(({ part_number }) => part_number === 1);
  const signed = presigned_urls.find(({ part_number }) => part_number === 2);
  assert.ok(signed && other);
  const right: Put = {
    url: signed.url,
    headers: signed.headers,
    body: pull.file.part(2, pull.request.plan),
  };
  const complete = async (parts: Awaited<ReturnType<Pull['put']>>[]): Promise<void> => {
    socket.send(pull.completed(parts));
    const record = await pull.ended();
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.ok((await client.operator.content(record.upload_id)).equals(pull.file.bytes));
  };
  return { socket, pull, signed, other, right, complete };
}
