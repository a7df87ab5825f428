import { setImmediate as nextTurn } from 'node:timers/promises';
import { isTerminal } from '@backhaul/protocol';
import { z } from 'zod';
import type { ChangePosition } from '../../domain/ports/store.ts';
import type { Upload } from '../../domain/uploads/upload.ts';
import { EventStream } from '../event-stream.ts';
import { problems, uploadParams, withToken } from '../schemas.ts';
import type { Routes, Services } from '../services.ts';
import { describeUpload } from '../upload-record.ts';

/** Hints can be lost; a stream looks at the store at least this often. */
const POLL_MS = 5000;
/** A few records: a page stays in memory until its reader has taken it. */
const PAGE = 32;

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
        operationId: 'followUpload',
        summary: 'Follow one upload (server-sent events)',
        description:
          'Begins with the record as it is, ends after the one with a terminal status. Between records `event: progress`, without an id, tells how many bytes are on their way; for display only.',
        params: uploadParams,
        response: { ...schema.response, 204: z.null() },
      },
    },
    async (request, reply) => {
      const upload = await services.uploads.get(request.params.upload_id);
      const { status, version } = upload;
      const seenVersion = Number(request.headers['last-event-id'] ?? 0) || 0;
      // Nothing will come: 204 tells a browser not to connect again (WHATWG HTML, section 9.2).
      if (isTerminal(status) && seenVersion >= version) return reply.code(204).send(null);
      using _held = services.held.hold(request.operator);
      await followOne(services, new EventStream(request, reply), { watched: upload, seenVersion });
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
        operationId: 'followEvents',
        summary: 'Follow all uploads (server-sent events)',
        description: 'Begins with what changes from now on, or where `Last-Event-ID` was.',
      },
    },
    async (request, reply) => {
      using _held = services.held.hold(request.operator);
      // Before the stream begins: what is asked for once it has begun is new.
      const start = startOf(request.headers['last-event-id'], await services.store.lastChange());
      await followAll(services, new EventStream(request, reply), start);
    },
  );
  done();
};

type Watched = Pick<Upload, 'uploadId' | 'clientId'>;

async function followOne(
  services: Services,
  stream: EventStream,
  { watched, seenVersion }: { watched: Watched; seenVersion: number },
): Promise<void> {
  const { uploadId } = watched;
  let seen = seenVersion;
  let bytesSeen: number | undefined;
  await onEveryHint(services, stream, watched, async () => {
    const upload = await services.store.getUpload(uploadId);
    // Removed meanwhile: there is nothing more to tell.
    if (upload === undefined) return stream.close();
    const record = await describeUpload(services, upload);
    const { version, bytes_in_flight: bytes } = record;
    if (version > seen) await stream.send(String(version), record);
    else if (bytes !== undefined && bytes !== bytesSeen) {
      await stream.sendProgress({ upload_id: uploadId, version, bytes_in_flight: bytes });
    }
    seen = version;
    bytesSeen = bytes;
    if (isTerminal(upload.status)) stream.close();
  });
}

async function followAll(services: Services, stream: EventStream, start: ChangePosition): Promise<void> {
  const { store } = services;
  let position = start;
  await onEveryHint(services, stream, undefined, async () => {
    for (;;) {
      const changed = await store.listChangesAfter(position, PAGE);
      for (const { change, upload } of changed) {
        await stream.send(
          `${change}.${upload.uploadId}.${upload.version}`,
          await describeUpload(services, upload),
        );
        if (stream.gone.aborted) return;
        position = { change, uploadId: upload.uploadId };
      }
      if (changed.length < PAGE) return;
      // A replay may be long; other work has its turn between two pages.
      await nextTurn();
    }
  });
}

/** Runs `look` now, after each hint or progress (those that come meanwhile count once), and now and then without one. */
async function onEveryHint(
  services: Services,
  stream: EventStream,
  watched: Watched | undefined,
  look: () => Promise<void>,
): Promise<void> {
  let wake = Promise.withResolvers<void>();
  const unsubscribe = services.bus.subscribe((hint) => {
    if (watched === undefined || hint.uploadId === watched.uploadId) wake.resolve();
  });
  const ignoreProgress =
    watched === undefined ? undefined : services.progress.subscribe(watched, () => wake.resolve());
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
    ignoreProgress?.();
    stream.close();
  }
}

/**
 * Release 0.1.0 had the time of the change in the place of its number. The migration took over those times as numbers,
 * so its ids are positions still. What shares the number is sent again: there two changes could have the same time.
 */
function startOf(lastEventId: string | undefined, lastChange: number): ChangePosition {
  const seen = Number(/^(\d{1,15})\./.exec(lastEventId ?? '')?.[1] ?? Infinity);
  // One that is still to come is of another database, and says nothing about this one.
  return { change: seen > lastChange ? lastChange + 1 : seen, uploadId: '' };
}
