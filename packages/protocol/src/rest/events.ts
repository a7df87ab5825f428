/**
 * Server-sent events of `GET /uploads/{upload_id}/events` and `GET /events`: `event: upload`, `data:` the upload
 * record. The stream of one upload has its version as `id:` and ends after the terminal record; the stream of
 * all has `{updated_at in ms}.{upload_id}.{version}`. Records are whole, so only the newest of each matters, and
 * a stream taken up again with `Last-Event-ID` repeats rather than skips.
 */
export const UPLOAD_EVENT = 'upload';

/** A comment line is sent this often, so that proxies keep an idle stream open. */
export const EVENT_HEARTBEAT_MS = 15_000;
