import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import { ApiError, ConnectionError, UnexpectedAnswerError } from './errors.ts';
import { BackhaulClient } from './backhaul-client.ts';
import {
  sendJson,
  readBody,
  type Handler,
  ScriptedServer,
  sendEvent,
  startEvents,
} from '../../../test/doubles/scripted-server.ts';
import { UPLOAD_ID, uploadRecord } from '../../../test/harness/upload-record.ts';

const TOKEN = 'secret-token';

async function start(handler: Handler, timeoutMs?: number) {
  const server = await ScriptedServer.start(handler);
  const client = new BackhaulClient({ url: server.url, token: TOKEN, timeoutMs });
  return { server, client, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const value of values) found.push(value);
  return found;
}

describe('a request', () => {
  test('to trigger sends token, body, key and preference', async () => {
    let body = '';
    await using fake = await start(async (request, response) => {
      body = await readBody(request);
      sendJson(response, 202, { ...uploadRecord({ status: 'queued' }), field_of_a_newer_server: 1 });
    });
    const record = await fake.client.triggerDownload(
      'restaurant-1',
      { file_path: '/data/report.bin', reason: 'audit' },
      { idempotencyKey: 'k1', waitSeconds: 20 },
    );
    assert.deepEqual(record, uploadRecord({ status: 'queued' }), 'unknown fields are dropped');
    const [request] = fake.server.requests;
    assert.equal(request?.method, 'POST');
    assert.equal(request?.url, '/trigger-download/restaurant-1');
    assert.equal(request?.headers.authorization, `Bearer ${TOKEN}`);
    assert.equal(request?.headers['idempotency-key'], 'k1');
    assert.equal(request?.headers['prefer'], 'wait=20');
    assert.deepEqual(JSON.parse(body), { file_path: '/data/report.bin', reason: 'audit' });
  });

  test('to wait is repeated with the same key if the server waited for less time', async () => {
    let count = 0;
    await using fake = await start((_request, response) => {
      count += 1;
      response.setHeader('preference-applied', 'wait=50');
      if (count < 3) sendJson(response, 202, uploadRecord({ status: 'queued' }));
      else sendJson(response, 200, uploadRecord());
    });
    const record = await fake.client.triggerDownload('restaurant-1', {}, { waitSeconds: 130 });
    assert.equal(record.status, uploadRecord().status);
    const { requests } = fake.server;
    assert.deepEqual(
      requests.map(({ headers }) => headers['prefer']),
      ['wait=130', 'wait=80', 'wait=30'],
    );
    assert.equal(new Set(requests.map(({ headers }) => headers['idempotency-key'])).size, 1);
  });

  test('escapes values in a path', async () => {
    await using fake = await start((_, response) => sendJson(response, 200, uploadRecord()));
    await fake.client.getUpload('../clients?x=/#');
    assert.equal(fake.server.requests[0]?.url, '/uploads/..%2Fclients%3Fx%3D%2F%23');
  });

  test('that the server refuses throws an ApiError', async () => {
    await using fake = await start((_, response) =>
      sendJson(response, 404, {
        type: 'urn:backhaul:error:client_not_found',
        title: 'No agent',
        status: 404,
        code: 'client_not_found',
        detail: 'No agent of the client_id x.',
      }),
    );
    await assert.rejects(fake.client.getStatus('x'), {
      name: 'ApiError',
      code: 'client_not_found',
      status: 404,
    });
  });

  test('whose response has another shape is an error', async () => {
    await using fake = await start((_, response) => sendJson(response, 200, { upload_id: 'x' }));
    await assert.rejects(fake.client.getUpload(UPLOAD_ID), UnexpectedAnswerError);
  });

  test('without a response in time is a connection error', async () => {
    await using fake = await start(() => undefined, 50);
    await assert.rejects(fake.client.getUpload(UPLOAD_ID), /did not respond within/);
  });

  test('whose response is cut is a connection error', async () => {
    await using fake = await start((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 });
      response.write('{"upload_id":');
      setImmediate(() => response.destroy());
    });
    await assert.rejects(fake.client.cancelUpload(UPLOAD_ID), ConnectionError);
  });

  test('is repeated after a closed kept-alive socket if it is a GET, never if it is a POST', async () => {
    await using fake = await start((request, response) => {
      if (fake.server.requests.length === 1 || request.method === 'POST') request.socket.resetAndDestroy();
      else sendJson(response, 200, uploadRecord());
    });
    assert.equal((await fake.client.getUpload(UPLOAD_ID)).upload_id, UPLOAD_ID);
    await assert.rejects(fake.client.retryUpload(UPLOAD_ID), ConnectionError);
    assert.deepEqual(
      fake.server.requests.map(({ method }) => method),
      ['GET', 'GET', 'POST'],
    );
  });

  test('aborted by its signal throws the reason of the signal', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    await using fake = await start(() => stop.abort(reason));
    await assert.rejects(fake.client.getUpload(UPLOAD_ID, { signal: stop.signal }), reason);
  });

  test('to an unreachable server keeps the cause and hides the token', async () => {
    const { url } = await (async () => {
      await using server = await ScriptedServer.start(() => undefined);
      return server;
    })();
    const client = new BackhaulClient({ url, token: TOKEN });
    await assert.rejects(client.readiness(), (error) => {
      assert.ok(error instanceof ConnectionError);
      assert.match(error.message, /ECONNREFUSED/);
      assert.ok(error.cause instanceof Error);
      assert.ok(!inspect(error, { depth: 10 }).includes(TOKEN));
      return true;
    });
  });

  test('does not send the token to the target of a redirect', async () => {
    await using elsewhere = await start((_, response) => sendJson(response, 200, uploadRecord()));
    for (const status of [301, 302, 303, 307, 308]) {
      await using fake = await start((_, response) => {
        response.writeHead(status, { location: `${elsewhere.server.url}/uploads/${UPLOAD_ID}` }).end();
      });
      await assert.rejects(fake.client.getUpload(UPLOAD_ID), UnexpectedAnswerError);
      await assert.rejects(fake.client.triggerDownload('restaurant-1'), UnexpectedAnswerError);
      assert.equal(fake.server.requests.length, 2, 'the server redirected both requests');
    }
    assert.deepEqual(elsewhere.server.requests, []);
  });

  test('over plain HTTP to another machine is refused without insecure: true', () => {
    const options = { url: 'http://backhaul.example.com', token: TOKEN };
    assert.throws(() => new BackhaulClient(options), /^TypeError: .*unencrypted.*insecure: true/);
    assert.equal(new BackhaulClient({ ...options, insecure: true }).origin, options.url);
    assert.equal(
      new BackhaulClient({ url: 'http://127.0.0.1:1', token: TOKEN }).origin,
      'http://127.0.0.1:1',
    );
  });

  test('with an invalid token is refused, and the error does not contain the token', () => {
    for (const token of ['', 'two words', 'line\nend', 'ümlaut']) {
      assert.throws(
        () => new BackhaulClient({ url: 'http://localhost', token }),
        (error: Error) => error instanceof TypeError && (token === '' || !error.message.includes(token)),
      );
    }
  });
});

describe('lists', () => {
  test('are fetched page by page with the cursor', async () => {
    await using fake = await start((request, response) => {
      const { searchParams } = new URL(request.url ?? '', 'http://x');
      const cursor = searchParams.get('cursor');
      const version = cursor === null ? 1 : Number(cursor);
      sendJson(response, 200, {
        uploads: [uploadRecord({ version })],
        next_cursor: version < 3 ? String(version + 1) : null,
      });
    });
    const found = await collect(fake.client.eachUpload({ status: 'failed', client_id: 'a', limit: 1 }));
    assert.deepEqual(
      found.map(({ version }) => version),
      [1, 2, 3],
    );
    assert.deepEqual(
      fake.server.requests.map(({ url }) => url),
      [
        '/uploads?status=failed&client_id=a&limit=1',
        '/uploads?status=failed&client_id=a&limit=1&cursor=2',
        '/uploads?status=failed&client_id=a&limit=1&cursor=3',
      ],
    );
  });
});

describe('commands', () => {
  test('return the result parsed by their schema', async () => {
    await using fake = await start((_, response) =>
      sendJson(response, 200, {
        command_id: UPLOAD_ID,
        duration_ms: 5,
        result: { path: '/data', entries: [], truncated: false },
      }),
    );
    const listing = await fake.client.runCommand('a', 'list_directory', { path: '/data' });
    assert.deepEqual(listing, { path: '/data', entries: [], truncated: false });
    assert.equal(fake.server.requests[0]?.url, '/clients/a/commands/list_directory');
    await assert.rejects(fake.client.runCommand('a', 'health_check', {}), UnexpectedAnswerError);
  });
});

describe('deleting', () => {
  test('includes the object only on request', async () => {
    await using fake = await start((_, response) => void response.writeHead(204).end());
    await fake.client.deleteUpload(UPLOAD_ID);
    await fake.client.deleteUpload(UPLOAD_ID, { object: true });
    await fake.client.deleteClient('a');
    assert.deepEqual(
      fake.server.requests.map(({ method, url }) => `${method} ${url}`),
      [`DELETE /uploads/${UPLOAD_ID}`, `DELETE /uploads/${UPLOAD_ID}?object=true`, 'DELETE /clients/a'],
    );
  });
});

test('setClientLimits sends all limits with PUT', async () => {
  const client = {
    ...{ client_id: 'a', connected: true, connected_since: null, last_seen_at: null, agent_version: null },
    ...{ platform: null, labels: {}, default_file_path: null, limits: { max_rate: 250_000 } },
  };
  await using fake = await start((_, response) => sendJson(response, 200, client));
  const found = await fake.client.setClientLimits('a', { max_rate: 250_000 });
  assert.deepEqual(found.limits, { max_rate: 250_000 });
  const [{ method, url } = assert.fail('no request was sent')] = fake.server.requests;
  assert.deepEqual([method, url], ['PUT', '/clients/a/limits']);
});

test('a directory listing without progress ends with an error', async () => {
  const entry = { name: 'a', type: 'file', size: 1, modified_at: null };
  const command = { command_id: UPLOAD_ID, duration_ms: 1 };
  let pages = 0;
  let nextPage = { entries: [entry], next_cursor: 'x' };
  await using fake = await start((_, response) => {
    pages += 1;
    sendJson(response, 200, { ...command, result: { path: '/d', truncated: true, ...nextPage } });
  });
  const list = async (limit?: number): Promise<number> => {
    pages = 0;
    // An endless listing must not hang this test.
    const options = { signal: AbortSignal.timeout(20_000) };
    await collect(fake.client.listDirectory('a', { path: '/d', limit }, options));
    return pages;
  };
  await assert.rejects(list(), { code: 'protocol_error' });
  assert.equal(pages, 2, 'the second page repeats the cursor of the first');
  assert.equal(await list(1), 1);
  nextPage = { entries: [], next_cursor: 'x' };
  for (const limit of [undefined, 10]) {
    await assert.rejects(list(limit), { code: 'protocol_error' });
    assert.equal(pages, 1, 'an empty page must be the last');
  }
});

test('a directory listing ends after the maximum number of pages', async () => {
  let pages = 0;
  const response = (): Response => {
    pages += 1;
    const entries = [{ name: 'a', type: 'file', size: 1, modified_at: null }];
    const result = { path: '/d', entries, truncated: true, next_cursor: String(pages) };
    return Response.json({ command_id: UPLOAD_ID, duration_ms: 1, result });
  };
  const client = new BackhaulClient({
    url: 'http://localhost',
    token: TOKEN,
    fetch: () =>
      pages <= 2000 ? Promise.resolve(response()) : Promise.reject(new Error('one page too many')),
  });
  const listing = client.listDirectory('a', { path: '/d' });
  await assert.rejects(collect(listing), { code: 'protocol_error' });
  assert.equal(pages, 2000);
});

test('verifyUpload returns the result of the server', async () => {
  const found = {
    upload_id: UPLOAD_ID,
    verdict: 'altered',
    verification: 'parts',
    checks: [{ name: 'etag', ok: false, expected: '"a"', found: '"b"' }],
    checked_at: '2025-11-01T10:30:00.000Z',
  };
  await using fake = await start((_, response) => sendJson(response, 200, { ...found, more: 1 }));
  assert.deepEqual(await fake.client.verifyUpload(UPLOAD_ID), found);
  assert.equal(fake.server.requests[0]?.url, `/uploads/${UPLOAD_ID}/verification`);
});

describe('the content', () => {
  test('is returned as a URL and not followed, so that the token is not sent to the store', async () => {
    await using fake = await start((_, response) => {
      response.writeHead(302, { location: 'https://store.example/key?X-Amz-Signature=1' }).end();
    });
    assert.equal(await fake.client.contentUrl(UPLOAD_ID), 'https://store.example/key?X-Amz-Signature=1');
    assert.equal(fake.server.requests.length, 1);
  });

  test('of an upload that has not ended is an ApiError', async () => {
    await using fake = await start((_, response) =>
      sendJson(response, 409, {
        type: 'x',
        title: 'x',
        status: 409,
        code: 'upload_not_completed',
        detail: 'x',
      }),
    );
    await assert.rejects(
      fake.client.contentUrl(UPLOAD_ID),
      (error) => error instanceof ApiError && error.retryable,
    );
  });
});

describe('readiness', () => {
  test('is returned even if the server is not ready', async () => {
    const readiness = { ready: false, checks: { storage: { ok: false, detail: 'AccessDenied' } } };
    await using fake = await start((_, response) => sendJson(response, 503, readiness));
    assert.deepEqual(await fake.client.readiness(), readiness);
  });
});

describe('following an upload', () => {
  test('yields each version once until the end, despite a cut connection', async () => {
    await using fake = await start((request, response) => {
      if (request.url === `/uploads/${UPLOAD_ID}`)
        return sendJson(response, 200, uploadRecord({ version: 3 }));
      startEvents(response);
      if (request.headers['last-event-id'] === undefined) {
        sendEvent(response, 1, uploadRecord({ version: 1 }));
        response.write(': still here\n\n');
        sendEvent(response, 2, uploadRecord({ version: 2 }));
        setTimeout(() => response.destroy(), 20);
      } else {
        for (const version of [2, 3, 4]) sendEvent(response, version, uploadRecord({ version }));
        sendEvent(response, 5, uploadRecord({ version: 5, status: 'completed' }));
      }
    });
    const records = await collect(fake.client.followUpload(UPLOAD_ID));
    assert.deepEqual(
      records.map(({ version }) => version),
      [1, 2, 3, 4, 5],
    );
    assert.equal(fake.server.requests.at(-1)?.headers['last-event-id'], '2');
  });

  test('fetches the record to detect the end if a proxy withholds events', async () => {
    await using fake = await start((request, response) => {
      if (request.url === `/uploads/${UPLOAD_ID}`) {
        return sendJson(response, 200, uploadRecord({ version: 9, status: 'failed', error: 'file_locked' }));
      }
      startEvents(response);
      response.end();
    });
    const records = await collect(fake.client.followUpload(UPLOAD_ID));
    assert.deepEqual(
      records.map(({ status }) => status),
      ['failed'],
    );
  });

  test('of an unknown upload throws the error at once', async () => {
    await using fake = await start((_, response) =>
      sendJson(response, 404, {
        type: 'x',
        title: 'x',
        status: 404,
        code: 'upload_not_found',
        detail: 'x',
      }),
    );
    await assert.rejects(collect(fake.client.followUpload(UPLOAD_ID)), { code: 'upload_not_found' });
  });

  test('closes its connection when the consumer stops', async () => {
    const closed = Promise.withResolvers<void>();
    await using fake = await start((_, response) => {
      response.on('close', closed.resolve);
      startEvents(response);
      sendEvent(response, 1, uploadRecord());
    });
    for await (const record of fake.client.followUpload(UPLOAD_ID)) {
      assert.equal(record.version, 1);
      break;
    }
    await closed.promise;
  });

  test('refuses an event that is not a record', async () => {
    await using fake = await start((_, response) => {
      startEvents(response);
      sendEvent(response, 1, { upload_id: 'x' });
    });
    await assert.rejects(collect(fake.client.followUpload(UPLOAD_ID)), UnexpectedAnswerError);
  });

  test('refuses a response that is not an event stream', async () => {
    await using fake = await start((_, response) => void response.end('hello'));
    await assert.rejects(collect(fake.client.followUpload(UPLOAD_ID)), /event stream/);
  });
});

describe('following everything', () => {
  test('ignores events of other kinds and ends with its signal', async () => {
    const stop = new AbortController();
    await using fake = await start((_, response) => {
      startEvents(response);
      response.write('event: weather\ndata: rain\n\n');
      sendEvent(response, '1.x.1', uploadRecord({ version: 7 }));
    });
    const seen: number[] = [];
    const reason = new Error('enough');
    await assert.rejects(async () => {
      for await (const record of fake.client.followEvents({ signal: stop.signal })) {
        seen.push(record.version);
        stop.abort(reason);
      }
    }, reason);
    assert.deepEqual(seen, [7]);
  });
});

describe('a server of a later version', () => {
  const later = {
    ...uploadRecord(),
    status: 'paused',
    error: 'quota_exceeded',
    on_change: 'snapshot',
    checksum: { algorithm: 'crc64nvme', type: 'composite', value: 'AAAAAAAAAAA=' },
    checksum_mode: 'crc64nvme',
    verification: 'signature',
    completed_at: null,
  };

  test('may send unknown values in a list of records', async () => {
    const uploads = [{ ...later, kind: 'archive' }, uploadRecord()];
    await using fake = await start((_request, response) =>
      sendJson(response, 200, { uploads, next_cursor: null }),
    );
    const page = await fake.client.listUploads();
    assert.deepEqual(page, { uploads: [later, uploadRecord()], next_cursor: null });
  });

  test('may end an upload with an unknown status', async () => {
    const records = [
      { ...later, version: 8 },
      { ...later, version: 9, status: 'superseded', completed_at: '2025-11-01T10:31:00.000Z' },
    ];
    await using fake = await start((_request, response) => {
      startEvents(response);
      for (const record of records) sendEvent(response, record.version, record);
    });
    assert.deepEqual(await collect(fake.client.followUpload(UPLOAD_ID)), records);
  });

  test('may respond to a wait with an unknown status', async () => {
    let count = 0;
    await using fake = await start((_request, response) => {
      count += 1;
      response.setHeader('preference-applied', 'wait=5');
      const completed_at = count === 1 ? null : '2025-11-01T10:31:00.000Z';
      sendJson(response, 202, { ...later, completed_at });
    });
    const record = await fake.client.triggerDownload('restaurant-1', {}, { waitSeconds: 20 });
    assert.equal(record.status, 'paused');
    assert.equal(count, 2, 'the first record had not ended');
  });

  test('may send an unknown code with a record of unknown values', async () => {
    await using fake = await start((_request, response) =>
      sendJson(response, 409, {
        type: 'urn:backhaul:error:quota_exceeded',
        title: 'Quota exceeded.',
        status: 409,
        code: 'quota_exceeded',
        detail: 'The quota is used up.',
        upload: later,
      }),
    );
    await assert.rejects(fake.client.getUpload(UPLOAD_ID), (error) => {
      assert.ok(error instanceof ApiError);
      assert.match(error.detail, /^The quota is used up\. \(quota_exceeded\)$/);
      assert.deepEqual(error.upload, later);
      return true;
    });
  });
});
