import { isTerminal } from '@backhaul/protocol';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Upload } from '../../domain/uploads/upload.ts';
import { EventStream } from '../event-stream.ts';
import { problems, uploadParams, withToken } from '../schemas.ts';
import type { Routes, Services } from '../services.ts';
import { toUploadRecord } from '../upload-record.ts';

/** Hints can be lost; a stream looks at the store at least this often. */
const POLL_MS = 5000;
const PAGE = 500;

const headers = z.object({
  'last-event-id': z.string().max(200).optional().meta({ description: 'Where a broken stream was.' }),
});

/** `GET /uploads/{upload_id}/events` and `GET /events` */
export const events: Routes = (services) => (app, _options, done) => {
  const schema = {
    tags: ['events'],
    security: withToken,
    headers,
    response: {
      200: z.string().meta({ description: '`event: upload`, `data:` an UploadRecord' }),
      ...problems,
    },
  };
  app.get(
    '/uploads/:upload_id/events',
    {
      config: { scope: 'read' },
      // A stream has no end that HEAD could report.
      exposeHeadRoute: false,
      schema: {
        ...schema,
        summary: 'Follow one upload (server-sent events)',
        description: 'Begins with the record as it is, ends after the one with a terminal status.',
        params: uploadParams,
        response: { ...schema.response, 204: z.null() },
      },
    },
    async (request, reply) => {
      const { uploadId, status, version } = await services.uploads.get(request.params.upload_id);
      const seenVersion = Number(request.headers['last-event-id'] ?? 0) || 0;
      // Nothing will come: 204 tells a browser not to connect again (WHATWG HTML, section 9.2).
      if (isTerminal(status) && seenVersion >= version) return reply.code(204).send(null);
      await followOne(services, new EventStream(request, reply), { uploadId, seenVersion });
    },
  );
  app.get(
    '/events',
    {
      config: { scope: 'read' },
      // A stream has no end that HEAD could report.
      exposeHeadRoute: false,
      schema: {
        ...schema,
        summary: 'Follow all uploads (server-sent events)',
        description: 'Begins with what changes from now on, or where `Last-Event-ID` was.',
      },
    },
    async (request, reply) => {
      await followAll(services, new EventStream(request, reply), startOf(request));
    },
  );
  done();
};

async function followOne(
  services: Services,
  stream: EventStream,
  { uploadId, seenVersion }: { uploadId: string; seenVersion: number },
): Promise<void> {
  let seen = seenVersion;
  await onEveryHint(services, stream, uploadId, async () => {
    const upload = await services.store.getUpload(uploadId);
    // Removed meanwhile: there is nothing more to tell.
    if (upload === undefined) return stream.close();
    if (upload.version > seen) stream.send(String(upload.version), toUploadRecord(upload));
    seen = upload.version;
    if (isTerminal(upload.status)) stream.close();
  });
}

async function followAll(services: Services, stream: EventStream, start: number): Promise<void> {
  let since = start;
  // Several changes can share a millisecond, so the last one is asked for again and what was sent is skipped.
  let sent = new Set<string>();
  await onEveryHint(services, stream, undefined, async () => {
    let position = { updatedAt: since, uploadId: '' };
    for (;;) {
      const changed = await services.store.listUploadsChangedAfter(position, PAGE);
      for (const upload of changed) {
        const id = eventId(upload);
        if (upload.updatedAt > since) {
          since = upload.updatedAt;
          sent = new Set();
        } else if (sent.has(id)) continue;
        sent.add(id);
        stream.send(id, toUploadRecord(upload));
      }
      const last = changed.at(-1);
      if (last === undefined || changed.length < PAGE) return;
      position = last;
      await stream.drained();
      if (stream.gone.aborted) return;
    }
  });
}

/** Runs `look` now, after each hint (hints that come meanwhile count once), and now and then without one. */
async function onEveryHint(
  services: Services,
  stream: EventStream,
  uploadId: string | undefined,
  look: () => Promise<void>,
): Promise<void> {
  let wake = Promise.withResolvers<void>();
  const unsubscribe = services.bus.subscribe((hint) => {
    if (uploadId === undefined || hint.uploadId === uploadId) wake.resolve();
  });
  const poll = setInterval(() => wake.resolve(), POLL_MS);
  stream.gone.addEventListener('abort', () => wake.resolve());
  // The server outlives its streams: their listeners must not stay with it.
  services.shutdown.addEventListener('abort', () => wake.resolve(), { signal: stream.gone });
  try {
    while (!stream.gone.aborted && !services.shutdown.aborted) {
      wake = Promise.withResolvers<void>();
      const current = wake;
      await look();
      if (!stream.gone.aborted && !services.shutdown.aborted) await current.promise;
    }
  } finally {
    clearInterval(poll);
    unsubscribe();
    stream.close();
  }
}

function eventId(upload: Upload): string {
  return `${upload.updatedAt}.${upload.uploadId}.${upload.version}`;
}

function startOf(request: FastifyRequest): number {
  const last = /^(\d{1,15})\./.exec(String(request.headers['last-event-id'] ?? ''))?.[1];
  return last === undefined ? Date.now() : Number(last);
}
