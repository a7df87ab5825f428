import { setImmediate as nextTurn } from 'node:timers/promises';
import { isTerminal } from '@backhaul/protocol';
import { z } from 'zod';
import type { ChangePosition } from '../../domain/ports/store.ts';
import type { Upload } from '../../domain/uploads/upload.ts';
import { EventStream } from '../event-stream.ts';
import { problems, type Route, type RouteApp, type Services, uploadParams, withToken } from '../route.ts';
import { describeUpload } from '../records.ts';

/** Hints can be lost; a stream polls the store at least this often. */
const POLL_MS = 5000;
/** A few records: a page stays in memory until its reader has read it. */
const PAGE = 32;

const schema = {
  tags: ['events'],
  security: withToken,
  headers: z.object({
    'last-event-id': z.string().max(200).optional().meta({ description: 'Last id of a broken stream.' }),
  }),
  response: {
    200: z.string().meta({ description: '`event: upload`, `data:` an UploadRecord' }),
    ...problems,
  },
};

export const eventRoutes: readonly Route[] = [followUpload, followEvents];

/** `GET /uploads/{upload_id}/events` */
function followUpload(app: RouteApp, services: Services): void {
  app.get(
    '/uploads/:upload_id/events',
    {
      config: { scope: 'read' },
      // A stream has no length that HEAD could report.
      exposeHeadRoute: false,
      schema: {
        ...schema,
        operationId: 'followUpload',
        summary: 'Follow one upload (server-sent events)',
        description:
          'Starts with the current record, ends after the one with a terminal status. Between records `event: progress`, without an id, reports the bytes in flight; for display only.',
        params: uploadParams,
        response: { ...schema.response, 204: z.null() },
      },
    },
    async (request, reply) => {
      const upload = await services.uploads.get(request.params.upload_id);
      const { status, version } = upload;
      const seenVersion = Number(request.headers['last-event-id'] ?? 0) || 0;
      // There will be no events: 204 tells a browser not to reconnect (WHATWG HTML, section 9.2).
      if (isTerminal(status) && seenVersion >= version) return reply.code(204).send(null);
      using _held = services.held.hold(request.operator);
      await followOne(services, new EventStream(request, reply), { watched: upload, seenVersion });
    },
  );
}

/** `GET /events` */
function followEvents(app: RouteApp, services: Services): void {
  app.get(
    '/events',
    {
      config: { scope: 'read' },
      // A stream has no length that HEAD could report.
      exposeHeadRoute: false,
      schema: {
        ...schema,
        operationId: 'followEvents',
        summary: 'Follow all uploads (server-sent events)',
        description: 'Starts with changes from now on, or after `Last-Event-ID`.',
      },
    },
    async (request, reply) => {
      using _held = services.held.hold(request.operator);
      // Read before the stream starts: later changes are new.
      const start = startOf(request.headers['last-event-id'], await services.store.lastChange());
      await followAll(services, new EventStream(request, reply), start);
    },
  );
}

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
    // Removed meanwhile: there are no more events.
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
        if (stream.closed.aborted) return;
        position = { change, uploadId: upload.uploadId };
      }
      if (changed.length < PAGE) return;
      // A replay may be long; other work runs between two pages.
      await nextTurn();
    }
  });
}

/**
 * Runs the callback now, after each hint or progress report (several in between count once), and periodically without
 * one.
 */
async function onEveryHint(
  services: Services,
  stream: EventStream,
  watched: Watched | undefined,
  sendNew: () => Promise<void>,
): Promise<void> {
  let wake = Promise.withResolvers<void>();
  const unsubscribe = services.bus.subscribe((hint) => {
    if (watched === undefined || hint.uploadId === watched.uploadId) wake.resolve();
  });
  const ignoreProgress =
    watched === undefined ? undefined : services.progress.subscribe(watched, () => wake.resolve());
  const poll = setInterval(() => wake.resolve(), POLL_MS);
  stream.closed.addEventListener('abort', () => wake.resolve());
  // The server outlives its streams: their listeners must be removed.
  services.shutdown.addEventListener('abort', () => wake.resolve(), { signal: stream.closed });
  try {
    while (!stream.closed.aborted && !services.shutdown.aborted) {
      wake = Promise.withResolvers<void>();
      const current = wake;
      await sendNew();
      if (!stream.closed.aborted && !services.shutdown.aborted) await current.promise;
    }
  } finally {
    clearInterval(poll);
    unsubscribe();
    ignoreProgress?.();
    stream.close();
  }
}

/**
 * Release 0.1.0 used the time of the change instead of its number. The migration used those times as numbers, so its
 * ids are still positions. Changes with the same number are sent again: there, two changes could have the same time.
 */
function startOf(lastEventId: string | undefined, lastChange: number): ChangePosition {
  const seen = Number(/^(\d{1,15})\./.exec(lastEventId ?? '')?.[1] ?? Infinity);
  // An id from the future belongs to another database, and says nothing about this one.
  return { change: seen > lastChange ? lastChange + 1 : seen, uploadId: '' };
}
