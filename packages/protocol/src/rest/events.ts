import { z } from 'zod';
import { sizeBytesSchema, uploadIdSchema } from '../identifiers.ts';

/**
 * Server-sent events of `GET /uploads/{upload_id}/events` and `GET /events`: `event: upload`, `data:` the upload
 * record. The stream of one upload has its version as `id:` and ends after the terminal record; the stream of
 * all has `{change}.{upload_id}.{version}`, where `change` counts up over all uploads, whatever the server's clock does. Records are whole, so only the newest of each matters, and
 * a stream taken up again with `Last-Event-ID` repeats rather than skips.
 */
export const UPLOAD_EVENT = 'upload';

/**
 * Between records the stream of one upload also has `event: progress`, without an `id:`, when only bytes on their way
 * have moved: about once a second at most. The stream of all uploads has none.
 */
export const PROGRESS_EVENT = 'progress';

export const progressEventSchema = z
  .object({
    upload_id: uploadIdSchema,
    version: z.int().min(1).meta({ description: 'Of the record that it goes with.' }),
    bytes_in_flight: sizeBytesSchema,
  })
  .meta({ id: 'ProgressEvent' });
export type ProgressEvent = z.infer<typeof progressEventSchema>;

/** A comment line is sent this often, so that proxies keep an idle stream open. */
export const EVENT_HEARTBEAT_MS = 15_000;
