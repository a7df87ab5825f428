import { z } from 'zod';
import { sizeBytesSchema, uploadIdSchema } from '../identifiers.ts';

/**
 * Server-sent events of `GET /uploads/{upload_id}/events` and `GET /events`: `event: upload`, `data:` the upload
 * record. The stream of one upload has its version as `id:` and ends after the terminal record. The stream of all
 * uploads has the id `{change}.{upload_id}.{version}`, where `change` increases over all uploads, independent of the
 * server's clock. Records are complete, so only the newest of each upload matters, and a stream resumed with
 * `Last-Event-ID` may repeat records but skips none.
 */
export const UPLOAD_EVENT = 'upload';

/**
 * Between records the stream of one upload also has `event: progress`, without an `id:`, when only the bytes in flight
 * have changed: at most about once a second. The stream of all uploads has no such events.
 */
export const PROGRESS_EVENT = 'progress';

export const progressEventSchema = z
  .object({
    upload_id: uploadIdSchema,
    version: z.int().min(1).meta({ description: 'Version of the record to which it belongs.' }),
    bytes_in_flight: sizeBytesSchema,
  })
  .meta({ id: 'ProgressEvent' });
export type ProgressEvent = z.infer<typeof progressEventSchema>;

/** Interval of comment lines, so that proxies keep an idle stream open. */
export const EVENT_HEARTBEAT_MS = 15_000;
